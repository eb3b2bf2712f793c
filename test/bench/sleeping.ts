/** Sites that sleep: what 500 of them cost, and what the first visitor waits for; beside php-fpm's pools on demand. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/supervisor/contract";
import type { Hostname } from "../../apps/supervisor/src/core/hostname.ts";
import { type IndexName, renderSite, type SitePath } from "../../apps/supervisor/src/core/site.ts";
import { type Account, nameFor } from "../system/account.ts";
import { askForPage } from "../system/fastcgi-client.ts";
import { Nginx, vhostText } from "../system/nginx.ts";
import { processesOf } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { HELLO } from "./loss.ts";
import { median } from "./median.ts";
import { childrenOf, Peer, pssOf, SHIPPED_SUPERVISOR } from "./peer.ts";
import { checkPrograms, PHP_CGI, PHP_FPM } from "./php-setups.ts";

const TENANTS = 2;
const SITES_EACH = 250;
const WOKEN = 50;
const ROUNDS = 20;

interface Sleeper {
  readonly name: string;
  readonly socket: string;
}

const inMilliseconds = (values: readonly number[]): string =>
  `${median(values).toFixed(1)} ms (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`;

const familyOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(familyOf)];
/** Proportional set size of a process and all below it, in MB. */
const pssOfFamily = (pid: number): number => familyOf(pid).reduce((sum, member) => sum + pssOf(member), 0) / 1024;

/** Status and milliseconds of one visit through Nginx; status 0 is no answer. */
const visit = (port: number, host: string): Promise<{ status: number; took: number }> =>
  new Promise((resolve) => {
    const begun = performance.now();
    const options = { host: "127.0.0.1", port, path: "/hello.php", headers: { host }, agent: false, timeout: 60_000 };
    const sent = request(options, (answer) => {
      answer.resume().on("end", () => resolve({ status: answer.statusCode ?? 0, took: performance.now() - begun }));
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => resolve({ status: 0, took: performance.now() - begun }));
    sent.end();
  });

/** Milliseconds to the first answer of one that sleeps. */
const firstAnswer = async (sleeper: Sleeper | undefined, page: string): Promise<number> => {
  const begun = performance.now();
  await askForPage(sleeper?.socket ?? "", page);
  return performance.now() - begun;
};

/** Milliseconds from the launch of php-cgi by hand to its first answer. */
const coldStart = async (tenant: Account, directory: string, page: string): Promise<number> => {
  const socket = join(directory, "cold.sock");
  rmSync(socket, { force: true });
  const begun = performance.now();
  const [file = "", ...args] = [...tenant.become, PHP_CGI, "-b", socket];
  const child = spawn(file, args, { env: { PATH: "/usr/bin:/bin" }, cwd: "/", stdio: "ignore" });
  for (let answered = false; !answered; ) {
    await sleep(1);
    answered = await askForPage(socket, page).then(
      () => true,
      () => false,
    );
    if (performance.now() - begun > 20_000) throw new Error("php-cgi by hand does not answer");
  }
  const took = performance.now() - begun;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  return took;
};

/** The vhosts that dmhost makes of conf files with host=. */
const ownVhosts = (sleepers: readonly Sleeper[], docroot: string, logs: string): string =>
  sleepers
    .map(({ name, socket }) =>
      renderSite({
        id: name,
        hosts: [`${name}.example.org` as Hostname],
        maxBody: 64 << 20,
        logs: logs as SitePath,
        app: "php",
        docroot: docroot as SitePath,
        socket: socket as SitePath,
        index: ["index.php" as IndexName],
      }),
    )
    .join("\n");
/** The least that an administrator would write for the same. */
const plainVhosts = (sleepers: readonly Sleeper[], docroot: string): string =>
  sleepers
    .map(({ name, socket }) => vhostText({ name, host: `${name}.example.org`, socket, app: "php", docroot }))
    .join("\n");

/** Wakes 50 at once through Nginx. */
const wakeMany = async (stage: Stage, worker: Account, sleepers: readonly Sleeper[], vhosts: string, title: string) => {
  const web = await Nginx.start(join(stage.directory, `${title}-nginx`), worker.name, { all: vhosts });
  try {
    // The default site, the first, was woken when Nginx was waited for.
    const visits = await Promise.all(
      sleepers.slice(1, 1 + WOKEN).map(({ name }) => visit(web.port, `${name}.example.org`)),
    );
    const answered = visits.filter(({ status }) => status === 200).length;
    console.log(
      `  ${title.padEnd(8)} ${answered} of ${WOKEN} woken at once answered: ${inMilliseconds(visits.map(({ took }) => took))}`,
    );
    console.log(
      `  ${"".padEnd(8)} its Nginx with ${sleepers.length} vhosts: ${pssOfFamily(web.pid).toFixed(1)} MB PSS`,
    );
  } finally {
    await web.end();
  }
};

const listed = async (supervisor: Supervisor): Promise<DaemonList["daemons"]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons;

const runFpm = async (
  directory: string,
  sleepers: readonly Sleeper[],
  tenant: Account,
  group: string,
): Promise<Peer> => {
  const config = join(directory, "fpm.conf");
  const pools = sleepers.map(
    ({ name, socket }) => `[${name}]
user=${tenant.name}
listen=${socket}
listen.owner=root
listen.group=${group}
listen.mode=0660
pm=ondemand
pm.max_children=1
`,
  );
  writeFileSync(config, `[global]\ndaemonize=no\nerror_log=/dev/null\n${pools.join("")}`);
  const peer = new Peer([PHP_FPM, "-F", "-y", config]);
  await until("php-fpm's pools", () => sleepers.every(({ socket }) => existsSync(socket)));
  return peer;
};

/** 500 sleeping sites: memory, the first answer of one, and 50 at once. */
export const measureSleeping = async (): Promise<void> => {
  checkPrograms();
  const stage = await Stage.make();
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenants: Account[] = [];
    for (let index = 0; index < TENANTS; index += 1) tenants.push(await stage.account(`bench${index}`));
    const names = tenants.map(({ name }) => name);
    const [first] = tenants;
    if (!first) return;
    const page = first.write("www/hello.php", HELLO);
    for (const passage of [first.home, join(first.home, "www")]) chmodSync(passage, 0o711);
    for (const tenant of tenants) {
      for (let site = 0; site < SITES_EACH; site += 1) {
        tenant.writeConf(
          `site${site}`,
          "start = exec php-cgi",
          "listen = fastcgi",
          "ondemand = yes",
          "idle-timeout = 1h",
        );
      }
    }
    const policy = [`nginx-group = ${nameFor("web")}`, "[runs_as]", ...names];
    const supervisor = stage.supervisor("ours", policy, SHIPPED_SUPERVISOR);
    await supervisor.start();
    const count = TENANTS * SITES_EACH;
    const daemons = await until(
      `${count} sleeping sites`,
      async () => {
        const all = await listed(supervisor);
        return all.length === count && all.every(({ state }) => state === "asleep") && all;
      },
      60,
    );
    const processes = tenants.flatMap(({ uid }) => processesOf(uid)).length;
    console.log(`${count} sleeping sites: memory, and their first visitors`);
    console.log(
      `  dmhost   ${pssOfFamily(supervisor.pid).toFixed(1)} MB PSS without Nginx; ${processes} processes of tenants'`,
    );
    const ours = daemons.map(({ name, owner, socket }) => ({ name: `${name}-${names.indexOf(owner)}`, socket }));
    const directory = join(stage.directory, "fpm");
    mkdirSync(directory, { mode: 0o755 });
    const theirs = ours.map(({ name }) => ({ name, socket: join(directory, `${name}.sock`) }));
    const fpm = await runFpm(directory, theirs, first, nameFor("web"));
    console.log(`  php-fpm  ${pssOfFamily(fpm.pid).toFixed(1)} MB PSS without Nginx, pools on demand`);
    const own = join(stage.directory, "cold");
    mkdirSync(own);
    chmodSync(own, 0o777);
    const [cold, awakened, forked]: [number[], number[], number[]] = [[], [], []];
    for (let round = 1; round <= ROUNDS; round += 1) {
      cold.push(await coldStart(first, own, page));
      awakened.push(await firstAnswer(ours.at(-round), page));
      forked.push(await firstAnswer(theirs.at(-round), page));
    }
    console.log(`  dmhost   first answer of a sleeping site: ${inMilliseconds(awakened)}`);
    console.log(`  by hand  php-cgi launched, to its first answer: ${inMilliseconds(cold)}`);
    console.log(`  php-fpm  first answer of a pool: ${inMilliseconds(forked)}`);
    console.log(`  ratio    ${(median(awakened) / median(cold)).toFixed(2)} of the launch by hand`);
    const docroot = join(first.home, "www");
    const logs = join(stage.directory, "logs");
    mkdirSync(logs, { mode: 0o755 });
    await wakeMany(stage, worker, ours, ownVhosts(ours, docroot, logs), "dmhost");
    await wakeMany(stage, worker, theirs, plainVhosts(theirs, docroot), "php-fpm");
    await fpm.end();
  } finally {
    await stage.remove();
  }
};
