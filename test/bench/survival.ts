/** kill -9 of the supervisor, again and again, under requests to all kinds of daemons. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { Appliance } from "../appliance/appliance.ts";
import { HostAccount } from "../appliance/host-account.ts";
import { HTTP_SERVER } from "../appliance/programs.ts";
import { nameFor } from "../system/account.ts";
import { ask } from "../system/control-api.ts";
import { allProcesses, argumentsOf, kill, statusOf } from "../system/proc.ts";
import { CHECKOUT, succeed, until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { arrive } from "./arrivals.ts";
import type { Options } from "./command-line.ts";
import { HELLO } from "./loss.ts";
import { median } from "./median.ts";
import { Peer, SHIPPED_SUPERVISOR } from "./peer.ts";

const PER_SECOND = 100;
/** From an answer of the API to the next kill, in ms: s6-supervise waits if a service ends within a second of its readiness. */
const PAUSE = 1200;

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
  return { pid, end, text: async () => readFileSync(log, "utf8") };
};

/** A supervisor that its service manager restarts, with the sites of DAEMONS published. */
interface Target {
  readonly port: number;
  /** Path of its control socket. */
  readonly socket: string;
  readonly pid: () => Promise<number>;
  /** Its log. */
  readonly text: () => Promise<string>;
}

const isAnswering = ({ socket }: Pick<Target, "socket">): Promise<boolean> =>
  ask(socket, "GET", "/v1/health").then(
    ({ status }) => status === 200,
    () => false,
  );

/** Kills the supervisor so many times. Returns the ms until the next one answers, of each. */
const killAgainAndAgain = async (kills: number, target: Target): Promise<number[]> => {
  const times: number[] = [];
  while (times.length < kills) {
    await sleep(PAUSE);
    const former = await target.pid();
    const begun = performance.now();
    kill(former);
    while (!(await isAnswering(target))) {
      if (performance.now() - begun > 30_000) throw new Error("no supervisor answers within 30 s");
      await sleep(2);
    }
    times.push(performance.now() - begun);
  }
  return times;
};

const arePublished = async (target: Target): Promise<boolean> => {
  if (!(await isAnswering(target))) return false;
  const { daemons } = (await ask(target.socket, "GET", "/v1/daemons")).body as DaemonList;
  const ours = daemons.filter(({ name }) => name in DAEMONS);
  const served = ours.filter(({ hosts }) => hosts.length > 0 && hosts.every(isPublished));
  return served.length === HOSTS.length;
};
const isPublished = ({ state }: { readonly state: string }): boolean => state === "published";

/** Kills with a pause after each while 100 requests arrive each second. */
const crashLoop = async (title: string, target: Target, { seconds, record }: Options): Promise<void> => {
  await until("published sites", () => arePublished(target), 60);
  const host = (number: number): string => HOSTS[number % HOSTS.length] ?? "";
  const load = {
    port: target.port,
    path: "/",
    perSecond: PER_SECOND,
    seconds: Number.POSITIVE_INFINITY,
    host: (number: number) => `${host(number)}.bench.test`,
  };
  let goes = true;
  const [arrivals, times] = await Promise.all([
    arrive(load, performance.now(), () => goes),
    killAgainAndAgain(seconds, target).finally(() => {
      goes = false;
    }),
  ]);
  const lost = arrivals.filter(({ status }) => status !== 200);
  for (const each of lost) {
    const line = JSON.stringify({ ...each, host: host(each.number) });
    if (record === undefined) console.error(`  lost: ${line}`);
    else appendFileSync(record, `${line}\n`);
  }
  const exits = (await target.text()).split("\n").filter((line) => line.includes('"event":"exited"'));
  const unknown = exits.filter((line) => line.includes("the exit code is unknown"));
  const waits = arrivals.map(({ sentAt, answeredAt }) => answeredAt - sentAt);
  console.log(
    `kill -9 of the supervisor${title}, ${times.length} times, ${PER_SECOND} requests a second\n` +
      `  lost             ${lost.length} of ${arrivals.length}\n` +
      `  API answers      after ${median(times).toFixed(0)} ms (${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)})\n` +
      `  answers          median ${median(waits).toFixed(1)} ms, slowest ${Math.max(...waits).toFixed(0)} ms\n` +
      `  exits            ${exits.length}, ${unknown.length} of them with an unknown code\n`,
  );
};

const linesOf = (name: string, home: string): readonly string[] => [
  ...(DAEMONS[name] ?? []).map((line) => line.replaceAll("~/serve", `${home}/serve`)),
  ...(HOSTS.includes(name) ? [`host = ${name}.bench.test`] : []),
];

export const measureSurvival = async (options: Options): Promise<void> => {
  const stage = await Stage.make();
  let web: WebServer | undefined;
  let service: Awaited<ReturnType<typeof superviseIt>> | undefined;
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenant = await stage.account("bench");
    tenant.write("www/index.php", HELLO);
    tenant.write("serve.pl", HTTP_SERVER);
    for (const passage of [tenant.home, join(tenant.home, "www")]) chmodSync(passage, 0o711);
    for (const name of Object.keys(DAEMONS)) tenant.writeConf(name, ...linesOf(name, tenant.home));
    web = await WebServer.make(stage.directory, worker);
    await web.start();
    const grants = ["[runs_as]", tenant.name, "[hosts]", `${tenant.name}: *.bench.test`];
    const supervisor = stage.supervisor("ours", [`nginx-group = ${nameFor("web")}`, ...grants]);
    const { port, flags } = web;
    service = await superviseIt(stage.directory, supervisor, flags);
    await crashLoop("", { port, socket: supervisor.socket, ...service }, options);
  } finally {
    await service?.end();
    await web?.stop();
    await stage.remove();
  }
};

const TENANT = "dmap-bench";

/** The same with the appliance in Docker. */
export const measureSurvivalInDocker = async (options: Options): Promise<void> => {
  const engine = join(CHECKOUT, "host/test-engine.sh");
  process.env["DOCKER_HOST"] = await succeed(engine, "start");
  let appliance: Appliance | undefined;
  try {
    const tenant = await HostAccount.make(TENANT);
    await tenant.write("www/index.php", HELLO);
    await tenant.write("serve.pl", HTTP_SERVER);
    for (const name of Object.keys(DAEMONS)) {
      await tenant.write(`.daemon-manager/daemons/${name}.conf`, `${linesOf(name, tenant.home).join("\n")}\n`);
    }
    const docker = await Appliance.prepare();
    appliance = docker;
    await docker.writePolicy(`[runs_as]\ndmhost-demo:\n${TENANT}:\n[hosts]\n${TENANT}: *.bench.test\n`);
    await docker.dmhost("up");
    const { Pid: init } = (await docker.inspect("supervisor")).State;
    const pid = async (): Promise<number> =>
      allProcesses().find((each) => isSupervisor(each) && ancestorsOf(each).includes(init)) ?? 0;
    const target = {
      port: docker.port,
      socket: join(docker.directory, "run/command.sock"),
      pid,
      text: () => docker.compose("logs", "--no-log-prefix", "supervisor"),
    };
    await crashLoop(" in Docker", target, options);
  } finally {
    await appliance?.remove();
    await HostAccount.remove(TENANT);
    await succeed(engine, "stop");
  }
};

const isSupervisor = (pid: number): boolean => argumentsOf(pid).some((word) => word.endsWith("/supervisor.cjs"));
const ancestorsOf = (pid: number): number[] => {
  const parent = Number(statusOf(pid).get("PPid") ?? 0);
  return parent > 0 ? [parent, ...ancestorsOf(parent)] : [];
};
