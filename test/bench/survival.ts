/** kill -9 of the supervisor, again and again, under requests to all kinds of daemons. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { HTTP_SERVER } from "../appliance/programs.ts";
import { type Account, nameFor } from "../system/account.ts";
import { kill, processesOf } from "../system/proc.ts";
import { succeed, until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { arrive } from "./arrivals.ts";
import type { Options } from "./command-line.ts";
import { HELLO } from "./loss.ts";
import { median } from "./median.ts";
import { Peer, SHIPPED_SUPERVISOR } from "./peer.ts";

const PER_SECOND = 100;
/** Time between an answer of the API and the next kill, in ms. */
const PAUSE = 700;

const PHP = ["start = exec php-cgi", "listen = fastcgi", "docroot = ~/www"];
const LEAVES = "export PHP_FCGI_MAX_REQUESTS = 20";
/** One of each kind. Those with a host get requests. */
const DAEMONS: Readonly<Record<string, readonly string[]>> = {
  leaves: [...PHP, LEAVES],
  pool: [...PHP, LEAVES, "instances = 2"],
  stays: [...PHP, "export PHP_FCGI_MAX_REQUESTS = 0", "output = log"],
  naps: [...PHP, LEAVES, "ondemand = yes", "idle-timeout = 1ms"],
  dozes: [...PHP, LEAVES, "ondemand = yes", "idle-timeout = 300ms"],
  binds: [
    'start = exec php-cgi -b "$DM_SOCKET"',
    "listen = path",
    "docroot = ~/www",
    "export PHP_FCGI_MAX_REQUESTS = 0",
  ],
  line: ["start = exec perl ~/serve.pl 3 notify line", "listen = http", "ready = notify"],
  exits: ["start = sleep 0.3; exit 7", "output = log", "max-retries = 1000000"],
  plain: ["start = exec sleep 100000"],
  finite: ["start = exec sleep 100000", "autostart = no"],
};
const WITHOUT_HOST = ["exits", "plain", "finite"];
const HOSTS = Object.keys(DAEMONS).filter((name) => !WITHOUT_HOST.includes(name));

/** Runs the supervisor as the service of s6 that ./dmhost makes of it. */
const superviseIt = async (
  directory: string,
  { config, runDir, fastcgiDir, stateDir }: Supervisor,
  flags: string[],
) => {
  const service = join(directory, "service");
  mkdirSync(service);
  const places = ["--config", config, "--run-dir", runDir, "--fastcgi-dir", fastcgiDir, "--state-dir", stateDir];
  const words = [...SHIPPED_SUPERVISOR.program, ...places, ...flags];
  const log = join(directory, "service.log");
  const run = `#!/bin/sh\nexec >>${log} 2>&1\nexec ${words.map((word) => `'${word}'`).join(" ")}\n`;
  writeFileSync(join(service, "run"), run, { mode: 0o755 });
  writeFileSync(join(service, "notification-fd"), "3\n");
  const peer = new Peer(["/usr/bin/s6-supervise", service], { ...SHIPPED_SUPERVISOR.env, DMHOST_READY_FD: "3" });
  const pid = async (): Promise<number> => Number(await succeed("s6-svstat", "-o", "pid", service));
  const end = async (): Promise<void> => {
    await succeed("s6-svc", "-dx", service);
    await until("the end of the service", () => peer.child.exitCode !== null || peer.child.signalCode !== null);
  };
  return { pid, end, text: () => readFileSync(log, "utf8") };
};

const isAnswering = (supervisor: Supervisor): Promise<boolean> =>
  supervisor.ask("GET", "/v1/health").then(
    ({ status }) => status === 200,
    () => false,
  );

/** Kills the supervisor so many times. Returns the ms until the next one answers, of each. */
const killAgainAndAgain = async (
  kills: number,
  pid: () => Promise<number>,
  supervisor: Supervisor,
): Promise<number[]> => {
  const times: number[] = [];
  while (times.length < kills) {
    await sleep(PAUSE);
    const former = await pid();
    const begun = performance.now();
    kill(former);
    while (!(await isAnswering(supervisor))) {
      if (performance.now() - begun > 30_000) throw new Error("no supervisor answers within 30 s");
      await sleep(2);
    }
    times.push(performance.now() - begun);
  }
  return times;
};

const listed = async (supervisor: Supervisor): Promise<DaemonList["daemons"]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons;

const writeDaemons = (tenant: Account): void => {
  tenant.write("www/index.php", HELLO);
  tenant.write("serve.pl", HTTP_SERVER);
  for (const passage of [tenant.home, join(tenant.home, "www")]) chmodSync(passage, 0o711);
  for (const [name, lines] of Object.entries(DAEMONS)) {
    const host = HOSTS.includes(name) ? [`host = ${name}.bench.test`] : [];
    tenant.writeConf(name, ...lines.map((line) => line.replaceAll("~/serve", `${tenant.home}/serve`)), ...host);
  }
};

/** About one kill a second while 100 requests arrive each second. */
export const measureSurvival = async ({ seconds, record }: Pick<Options, "seconds" | "record">): Promise<void> => {
  const stage = await Stage.make();
  let web: WebServer | undefined;
  let service: Awaited<ReturnType<typeof superviseIt>> | undefined;
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenant = await stage.account("bench");
    writeDaemons(tenant);
    web = await WebServer.make(stage.directory, worker);
    await web.start();
    const policy = [
      `nginx-group = ${nameFor("web")}`,
      "[runs_as]",
      tenant.name,
      "[hosts]",
      `${tenant.name}: *.bench.test`,
    ];
    const supervisor = stage.supervisor("ours", policy);
    service = await superviseIt(stage.directory, supervisor, web.flags);
    const { port } = web;
    await until("published sites", async () => {
      if (!(await isAnswering(supervisor))) return false;
      const daemons = await listed(supervisor);
      return (
        daemons.length === Object.keys(DAEMONS).length &&
        daemons.every(({ hosts }) => hosts.every(({ state }) => state === "published"))
      );
    });
    const load = {
      port,
      path: "/",
      perSecond: PER_SECOND,
      seconds: Number.POSITIVE_INFINITY,
      host: (n: number) => `${HOSTS[n % HOSTS.length]}.bench.test`,
    };
    let goes = true;
    const [arrivals, times] = await Promise.all([
      arrive(load, performance.now(), () => goes),
      killAgainAndAgain(seconds, service.pid, supervisor).finally(() => {
        goes = false;
      }),
    ]);
    const lost = arrivals.filter(({ status }) => status !== 200);
    for (const each of lost) {
      const host = HOSTS[each.number % HOSTS.length];
      if (record === undefined) console.error(`  lost: ${host} ${JSON.stringify(each)}`);
      else appendFileSync(record, `${JSON.stringify({ ...each, host })}\n`);
    }
    const exits = service
      .text()
      .split("\n")
      .filter((line) => line.includes('"event":"exited"'));
    const unknown = exits.filter((line) => line.includes("the exit code is unknown"));
    const waits = arrivals.map(({ sentAt, answeredAt }) => answeredAt - sentAt);
    console.log(
      `kill -9 of the supervisor, ${times.length} times, ${PER_SECOND} requests a second\n` +
        `  lost             ${lost.length} of ${arrivals.length}\n` +
        `  API answers      after ${median(times).toFixed(0)} ms (${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)})\n` +
        `  slowest answer   ${Math.max(...waits).toFixed(0)} ms; median ${median(waits).toFixed(1)} ms\n` +
        `  exits            ${exits.length}, ${unknown.length} of them with an unknown code\n` +
        `  processes left   ${processesOf(tenant.uid).length}`,
    );
  } finally {
    await service?.end();
    await web?.stop();
    await stage.remove();
  }
};
