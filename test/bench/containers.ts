/** A site in a container under kill -9, restarts and none of both, beside the same site as a process. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BrokerProcess } from "../appliance/broker-process.ts";
import { importPhpImage } from "../appliance/php-image.ts";
import { nameFor } from "../system/account.ts";
import { kill } from "../system/proc.ts";
import { CHECKOUT, succeed, until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { arrive } from "./arrivals.ts";
import type { Options } from "./command-line.ts";
import { HELLO } from "./loss.ts";
import { median } from "./median.ts";

const IMAGE = "dmhost-php-bench";
const PER_SECOND = 300;
const SECONDS = 20;
const PHP = ["start = exec php-cgi", "listen = fastcgi", "docroot = ~/www", "export PHP_FCGI_MAX_REQUESTS = 0"];

/** What happens to a site while requests arrive, every so many ms. */
const TROUBLES = {
  none: { every: 1000, act: async (_: Supervisor, __: string): Promise<unknown> => undefined },
  "kill -9 each second": {
    every: 1000,
    act: async (supervisor: Supervisor, id: string) =>
      kill(await until("its process", async () => (await supervisor.status(id)).pid)),
  },
  "dmctl restart every 5 s": {
    every: 5000,
    act: async (supervisor: Supervisor, id: string) => {
      const { ok, reason } = await supervisor.act("restart", id);
      if (!ok) throw new Error(reason);
    },
  },
};

const measure = async (
  supervisor: Supervisor,
  port: number,
  id: string,
  host: string,
  trouble: keyof typeof TROUBLES,
) => {
  const { every, act } = TROUBLES[trouble];
  let goes = true;
  const disturb = async (): Promise<void> => {
    while (goes) {
      await sleep(every);
      if (goes) await act(supervisor, id);
    }
  };
  const disturbed = disturb();
  // Reported when it is awaited.
  disturbed.catch(() => undefined);
  const load = { port, path: "/", perSecond: PER_SECOND, seconds: SECONDS, host: () => host };
  const arrivals = await arrive(load, performance.now());
  goes = false;
  await disturbed;
  const waits = arrivals.map(({ sentAt, answeredAt }) => answeredAt - sentAt).sort((a, b) => a - b);
  const p99 = waits[Math.ceil(waits.length * 0.99) - 1] ?? Number.NaN;
  return { lost: arrivals.filter(({ status }) => status !== 200), all: arrivals.length, middle: median(waits), p99 };
};

export const measureContainers = async (_: Options): Promise<void> => {
  const engine = join(CHECKOUT, "host/test-engine.sh");
  const address = await succeed(engine, "start");
  const docker = (...args: string[]) => succeed("env", `DOCKER_HOST=${address}`, "docker", ...args);
  const stage = await Stage.make();
  let web: WebServer | undefined;
  let broker: BrokerProcess | undefined;
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenant = await stage.account("bench");
    tenant.write("www/index.php", HELLO);
    for (const passage of [tenant.home, join(tenant.home, "www")]) chmodSync(passage, 0o711);
    await importPhpImage(docker, `${IMAGE}:latest`, stage.directory);
    tenant.writeConf("process", ...PHP, "host = process.bench.test");
    tenant.writeConf("container", `image = ${IMAGE}`, ...PHP, "host = container.bench.test");
    web = await WebServer.make(stage.directory, worker);
    await web.start();
    const grants = [
      "[runs_as]",
      tenant.name,
      "[hosts]",
      `${tenant.name}: *.bench.test`,
      "[images]",
      `${tenant.name}: ${IMAGE}`,
    ];
    const flags = [...web.flags, "--broker", join(stage.directory, "ours/run/broker.sock")];
    const supervisor = stage.supervisor("ours", [`nginx-group = ${nameFor("web")}`, ...grants], { flags });
    await supervisor.start();
    broker = new BrokerProcess({
      directory: supervisor.runDir,
      policy: supervisor.config,
      engine: address.replace(/^unix:\/\//, ""),
    });
    await broker.start();
    for (const name of ["process", "container"]) {
      await until(`the site of the ${name}`, async () => {
        const { state, hosts } = await supervisor.status(`${tenant.name}/${name}`);
        return state === "running" && hosts[0]?.state === "published";
      });
    }
    for (const trouble of Object.keys(TROUBLES) as (keyof typeof TROUBLES)[]) {
      const of = (name: string) =>
        measure(supervisor, web?.port ?? 0, `${tenant.name}/${name}`, `${name}.bench.test`, trouble);
      const [process, container] = [await of("process"), await of("container")];
      const line = ({ lost, all, middle, p99 }: typeof process): string =>
        `lost ${lost.length} of ${all}, median ${middle.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
      console.log(
        `php-cgi at ${PER_SECOND} requests a second for ${SECONDS} s, ${trouble === "none" ? "undisturbed" : trouble}\n` +
          `  container  ${line(container)}\n  process    ${line(process)}\n` +
          `  ratio of p99 ${(container.p99 / process.p99).toFixed(2)}\n`,
      );
    }
  } finally {
    await web?.stop();
    await stage.remove();
    await broker?.kill();
    await docker("rmi", "--force", `${IMAGE}:latest`);
  }
};
