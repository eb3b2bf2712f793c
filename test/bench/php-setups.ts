/** The setups of php-cgi behind Nginx that are compared, each in a separate directory. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Account, nameFor } from "../system/account.ts";
import { isRunning, kill, processesOf, statusOf } from "../system/proc.ts";
import { run, until } from "../system/program.ts";
import type { Stage } from "../system/stage.ts";
import { PHP_CGI, PHP_FPM } from "./packages.ts";
import { Peer, SHIPPED_SUPERVISOR } from "./peer.ts";

/** Directory and accounts of a setup. All setups share the tenant and the group of Nginx. */
export interface Place {
  readonly stage: Stage;
  /** New and empty; no other setup's path begins with it. */
  readonly directory: string;
  readonly tenant: Account;
  /** Account of Nginx's workers. */
  readonly worker: Account;
  /** Short name of the group that may connect. */
  readonly group: string;
  /** Variables of php-cgi. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A running setup. */
export interface Running {
  readonly socket: string;
  /** The restart that the setup offers; undefined if it offers only a stop and a start. */
  readonly restart?: () => Promise<unknown>;
  readonly end: () => Promise<void>;
}

export interface Setup {
  readonly name: string;
  readonly processes: number;
  readonly start: (place: Place) => Promise<Running>;
}

const nameOf = (pid: number): string => {
  try {
    return statusOf(pid).get("Name") ?? "";
  } catch {
    return "";
  }
};

/** Pids of the processes that answer requests; their master runs as another account. */
export const answering = ({ tenant }: Place): number[] =>
  processesOf(tenant.uid).filter((pid) => /^php-(cgi|fpm)/.test(nameOf(pid)));

/** dmhost: a held socket and immediate restarts. */
export const dmhost = (processes: number): Setup => ({
  name: "dmhost",
  processes,
  start: async ({ stage, directory, tenant, group, environment }) => {
    const name = directory.slice(stage.directory.length + 1);
    const policy = [`nginx-group = ${nameFor(group)}`, "[runs_as]", tenant.name];
    const instances = processes === 1 ? [] : [`instances = ${processes}`];
    const exports = Object.entries(environment).map(([key, value]) => `export ${key} = ${value}`);
    tenant.writeConf("site", "start = exec php-cgi", "listen = fastcgi", "dir = ~/www", ...instances, ...exports);
    // Without the debug log of the tests.
    const options = { ...SHIPPED_SUPERVISOR, flags: ["--log-level", "info"] };
    const supervisor = stage.supervisor(`${name}-dmhost`, policy, options);
    await supervisor.start();
    const id = `${tenant.name}/site`;
    const { socket = "" } = await supervisor.reaches(id, "running");
    return {
      socket,
      restart: () => supervisor.act("restart", id),
      end: async () => {
        supervisor.signal("SIGTERM");
        await until("the end of the supervisor", () => !isRunning(supervisor.pid), 30);
      },
    };
  },
});

const supervisord = (processes: number, more: readonly string[] = []): Setup => ({
  name: ["supervisord fcgi-program", ...more].join(", "),
  processes,
  start: async ({ directory, tenant, group, environment }) => {
    const [config, socket, control] = ["conf", "sock", "control"].map((end) => join(directory, `supervisord.${end}`));
    const variables = Object.entries(environment).map(([key, value]) => `${key}="${value}"`);
    const lines = [
      `[unix_http_server]\nfile=${control}`,
      `[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${directory}/supervisord.pid`,
      "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
      `[supervisorctl]\nserverurl=unix://${control}`,
      "[fcgi-program:php]",
      `command=${PHP_CGI}\nuser=${tenant.name}\nsocket=unix://${socket}\nsocket_owner=root:${nameFor(group)}\nsocket_mode=0660`,
      `numprocs=${processes}\nprocess_name=php%(process_num)d\nstdout_logfile=/dev/null\nstderr_logfile=/dev/null`,
      `environment=${variables.join(",")}\n${more.join("\n")}`,
    ];
    writeFileSync(config ?? "", `${lines.join("\n")}\n`);
    const peer = new Peer(["/usr/bin/supervisord", "-c", config ?? ""]);
    const restart = ["/usr/bin/supervisorctl", "-c", config ?? "", "restart", "php:*"];
    return { socket: socket ?? "", restart: () => run(restart), end: () => peer.end() };
  },
});

const multiwatch = (processes: number, ...more: readonly string[]): Setup => ({
  name: ["spawn-fcgi + multiwatch", ...more].join(" "),
  processes,
  start: async ({ directory, tenant, group, environment }) => {
    const socket = join(directory, "php.sock");
    const who = ["-u", tenant.name, "-g", tenant.name, "-U", tenant.name, "-G", nameFor(group), "-M", "0660"];
    const watch = ["/usr/bin/multiwatch", "-f", String(processes), ...more, "--", PHP_CGI];
    const peer = new Peer(["/usr/bin/spawn-fcgi", "-n", "-s", socket, ...who, "--", ...watch], environment);
    return { socket, end: () => peer.end() };
  },
});

/** multiwatch that never stops restarting; by default it stops after three short runs. */
export const patientMultiwatch = (processes: number): Setup => multiwatch(processes, "-r", "1000000000");

const fpm = (processes: number): Setup => ({
  name: "php-fpm static",
  processes,
  start: async ({ directory, tenant, group, environment }) => {
    const [config, socket] = [join(directory, "fpm.conf"), join(directory, "fpm.sock")];
    const lines = [
      `[global]\ndaemonize=no\nerror_log=/dev/null\npid=${directory}/fpm.pid`,
      `[www]\nuser=${tenant.name}\nlisten=${socket}\nlisten.owner=root\nlisten.group=${nameFor(group)}\nlisten.mode=0660`,
      `pm=static\npm.max_children=${processes}\npm.max_requests=${environment["PHP_FCGI_MAX_REQUESTS"] ?? 500}`,
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    const peer = new Peer([PHP_FPM, "-F", "-y", config]);
    return {
      socket,
      restart: async () => peer.child.kill("SIGUSR2"),
      end: () => peer.end(),
    };
  },
});

/** Daemon Manager's wait after the first short run, and the limit of a short run, in ms. */
const COOLDOWN = 10_000;
const SHORT = 60_000;

/** Restarts by the rules of Daemon Manager 1.2.2: at once after a long run, else after 10 s, 20 s and so on. */
const daemonManager: Setup = {
  name: "Daemon Manager's way, php-cgi -b",
  processes: 1,
  start: async ({ directory, tenant, environment }) => {
    const own = join(directory, "own");
    mkdirSync(own);
    chmodSync(own, 0o777);
    const socket = join(own, "php.sock");
    const argv = [...tenant.become, PHP_CGI, "-q", "-b", socket];
    let peer: Peer;
    let wait = 0;
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const begin = (): void => {
      const begun = performance.now();
      peer = new Peer(argv, environment);
      peer.child.on("exit", () => {
        wait = performance.now() - begun < SHORT ? wait + COOLDOWN : 0;
        if (!over) timer = setTimeout(begin, wait);
      });
    };
    begin();
    return {
      socket,
      end: async () => {
        over = true;
        clearTimeout(timer);
        await peer.end("SIGKILL");
      },
    };
  },
};

/** All setups. */
export const SETUPS: readonly Setup[] = [
  dmhost(1),
  dmhost(2),
  supervisord(1),
  supervisord(2),
  supervisord(2, ["startsecs=0", "autorestart=true"]),
  multiwatch(2),
  patientMultiwatch(2),
  fpm(2),
  daemonManager,
];

/** Starts a setup and waits until all its processes run. */
export const startSetup = async (setup: Setup, place: Place): Promise<Running> => {
  const others = answering(place).length;
  const running = await setup.start(place);
  try {
    await until(`${setup.processes} processes`, () => answering(place).length === others + setup.processes);
    return running;
  } catch (error) {
    await endSetup(running, place);
    throw error;
  }
};

/** Ends a setup and all processes of the tenant. */
export const endSetup = async (running: Running, { tenant }: Place): Promise<void> => {
  await running.end();
  await until("the end of the tenant's processes", () => {
    const left = processesOf(tenant.uid);
    for (const pid of left) kill(pid);
    return left.length === 0;
  });
};
