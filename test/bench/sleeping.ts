/** Sleeping sites: the memory of 500, and the time to the first answer, beside php-fpm's pools on demand. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { type Account, nameFor } from "../system/account.ts";
import { askForPage } from "../system/fastcgi-client.ts";
import { Nginx, vhostText } from "../system/nginx.ts";
import { processesOf } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { HELLO } from "./loss.ts";
import { median } from "./median.ts";
import { PHP_CGI, PHP_FPM } from "./packages.ts";
import { childrenOf, Peer, pssOf, REST, SHIPPED_SUPERVISOR } from "./peer.ts";

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
/** Proportional set size of a process and its descendants, in MB. */
const pssOfFamily = (pid: number): number => familyOf(pid).reduce((sum, member) => sum + pssOf(member), 0) / 1024;

/** Status and ms of a request through Nginx; status 0 means no answer. */
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

/** Measures the ms to the first answer of a sleeping site. */
const firstAnswer = async (sleeper: Sleeper | undefined, page: string): Promise<number> => {
  const begun = performance.now();
  await askForPage(sleeper?.socket ?? "", page);
  return performance.now() - begun;
};

/** Measures the ms from the direct start of php-cgi to its first answer. @param interval between two requests, in ms */
const coldStart = async (tenant: Account, socket: string, page: string, interval = 1): Promise<number> => {
  rmSync(socket, { force: true });
  const begun = performance.now();
  const [file = "", ...args] = [...tenant.become, PHP_CGI, "-b", socket];
  const child = spawn(file, args, { env: { PATH: "/usr/bin:/bin" }, cwd: "/", stdio: "ignore" });
  for (let answered = false; !answered; ) {
    await sleep(interval);
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

/** The minimal vhosts for the same sites. */
const plainVhosts = (sleepers: readonly Sleeper[], docroot: string): string =>
  sleepers
    .map(({ name, socket }) => vhostText({ name, host: `${name}.example.org`, socket, app: "php", docroot }))
    .join("\n");

/** Wakes 50 sites at once through Nginx. */
const wakeMany = async (port: number, hosts: readonly string[], title: string): Promise<void> => {
  const visits = await Promise.all(hosts.slice(0, WOKEN).map((host) => visit(port, host)));
  const answered = visits.filter(({ status }) => status === 200).length;
  console.log(
    `  ${title.padEnd(8)} ${answered} of ${WOKEN} woken at once answered: ${inMilliseconds(visits.map(({ took }) => took))}`,
  );
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

const hostOf = (tenant: number, site: number): string => `site${site}.t${tenant}.example.org`;
const SITE = ["start = exec php-cgi", "listen = fastcgi", "ondemand = yes", "idle-timeout = 1h", "docroot = ~/www"];

/** Whether all sites sleep and are published. */
const isSettled = (daemons: DaemonList["daemons"]): boolean =>
  daemons.length === TENANTS * SITES_EACH &&
  daemons.every(({ state, hosts }) => state === "asleep" && hosts.every((host) => host.state === "published"));

/** 500 sleeping sites: memory, the first answer of one, and 50 at once. */
export const measureSleeping = async (): Promise<void> => {
  const stage = await Stage.make();
  let web: WebServer | undefined;
  let plain: Nginx | undefined;
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenants: Account[] = [];
    for (let index = 0; index < TENANTS; index += 1) tenants.push(await stage.account(`bench${index}`));
    const names = tenants.map(({ name }) => name);
    const [first] = tenants;
    if (!first) return;
    for (const [index, tenant] of tenants.entries()) {
      tenant.write("www/hello.php", HELLO);
      for (const passage of [tenant.home, join(tenant.home, "www")]) chmodSync(passage, 0o711);
      for (let site = 0; site < SITES_EACH; site += 1) {
        tenant.writeConf(`site${site}`, ...SITE, `host = ${hostOf(index, site)}`);
      }
    }
    const page = join(first.home, "www/hello.php");
    web = await WebServer.make(stage.directory, worker);
    await web.start();
    const grants = names.map((name, index) => `${name}: *.t${index}.example.org`);
    const policy = [`nginx-group = ${nameFor("web")}`, "[runs_as]", ...names, "[hosts]", ...grants];
    const supervisor = stage.supervisor("ours", policy, { ...SHIPPED_SUPERVISOR, flags: web.flags });
    await supervisor.start();
    const settled = () =>
      until(
        "sites that sleep and are published",
        async () => {
          const all = await listed(supervisor);
          return isSettled(all) && all;
        },
        60,
      );
    const daemons = await settled();
    const processes = tenants.flatMap(({ uid }) => processesOf(uid)).length;
    console.log(`${daemons.length} sleeping sites: memory, and first answers`);
    const tell = async (when: string): Promise<void> => {
      await sleep(REST);
      const own = (pssOf(supervisor.pid) + pssOf(supervisor.shim ?? 0)) / 1024;
      const nginx = pssOfFamily(web?.pid ?? 0);
      console.log(
        `  dmhost   ${own.toFixed(1)} MB PSS and Nginx ${nginx.toFixed(1)}, together ${(own + nginx).toFixed(1)}, ${when}`,
      );
    };
    await tell(`with ${processes} processes of tenants'`);
    for (const change of ["changed", "changed-again"]) {
      first.writeConf("site0", ...SITE, `host = ${hostOf(0, 0)}, ${change}.t0.example.org`);
      await supervisor.rescan();
      await settled();
    }
    await tell("after two more reloads");
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
      cold.push(await coldStart(first, join(own, "cold.sock"), page));
      awakened.push(await firstAnswer(ours.at(-round), page));
      forked.push(await firstAnswer(theirs.at(-round), page));
    }
    console.log(`  dmhost   first answer of a sleeping site: ${inMilliseconds(awakened)}`);
    console.log(`  by hand  php-cgi launched, to its first answer: ${inMilliseconds(cold)}`);
    console.log(`  php-fpm  first answer of a pool: ${inMilliseconds(forked)}`);
    console.log(`  ratio    ${(median(awakened) / median(cold)).toFixed(2)} of the launch by hand`);
    const sites = Array.from({ length: WOKEN }, (_, site) => site + 1);
    const together = await Promise.all(sites.map((site) => coldStart(first, join(own, `${site}.sock`), page, 20)));
    console.log(`  by hand  ${WOKEN} php-cgi launched at once, to their first answers: ${inMilliseconds(together)}`);
    await wakeMany(
      web.port,
      sites.map((site) => hostOf(0, site)),
      "dmhost",
    );
    plain = await Nginx.start(join(stage.directory, "plain-nginx"), worker.name, {
      all: plainVhosts(theirs, join(first.home, "www")),
    });
    console.log(`  php-fpm  its Nginx, started with its vhosts: ${pssOfFamily(plain.pid).toFixed(1)} MB PSS`);
    // The first site is the default one and has been woken by the start of Nginx.
    await wakeMany(
      plain.port,
      theirs.slice(1, 1 + WOKEN).map(({ name }) => `${name}.example.org`),
      "php-fpm",
    );
    await fpm.end();
  } finally {
    await plain?.end();
    await web?.stop();
    await stage.remove();
  }
};
