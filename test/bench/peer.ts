/** The peers that are measured beside dmhost, and dmhost as it ships. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHECKOUT, until } from "../system/program.ts";
import { MARK } from "./sweep.ts";

const dist = (name: string): string => join(CHECKOUT, "dist", name);

/** The supervisor as host/appliance.sh and the image start it. */
export const SHIPPED_SUPERVISOR = {
  program: [
    dist("node"),
    "--lite-mode",
    "--max-semi-space-size=1",
    "--v8-pool-size=1",
    "--expose-gc",
    dist("supervisor.cjs"),
  ],
  env: { MALLOC_ARENA_MAX: "1", UV_THREADPOOL_SIZE: "2" },
};
/** Idle time before memory is measured, in ms: the supervisor releases memory when idle. */
export const REST = 15_000;
/** dmctl as it ships. */
export const SHIPPED_DMCTL = dist("dmctl");

/**
 * A peer in a new session, as under any service manager: the kernel divides processor time by sessions (sched(7), autogroup), and
 * the load generator must not share the peer's.
 */
export class Peer {
  readonly child: ChildProcess;

  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [file = "", ...args] = argv;
    const own = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", [MARK]: process.env[MARK], ...env };
    this.child = spawn(file, args, { env: own, cwd: "/", stdio: "ignore", detached: true });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    await ended;
  }
}

/** Starts supervisord with `count` programs that sleep; resolves with its configuration file when all run. */
export const runSupervisord = async (directory: string, count: number): Promise<{ peer: Peer; config: string }> => {
  const config = join(directory, "supervisord.conf");
  const socket = join(directory, "supervisord.sock");
  const lines = [
    `[unix_http_server]\nfile=${socket}`,
    `[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${join(directory, "supervisord.pid")}`,
    "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    `[supervisorctl]\nserverurl=unix://${socket}`,
    ...Array.from(
      { length: count },
      (_, index) => `[program:p${index}]\ncommand=/bin/sleep 100000\nstdout_logfile=/dev/null`,
    ),
  ];
  writeFileSync(config, `${lines.join("\n\n")}\n`);
  const peer = new Peer(["/usr/bin/supervisord", "-c", config]);
  await until("supervisord's programs", () => childrenOf(peer.pid).length >= count);
  return { peer, config };
};

/** Starts runit's runsv with a php-cgi that binds its socket. */
export const runRunsv = async (directory: string): Promise<Peer> => {
  const service = join(directory, "runit");
  mkdirSync(service);
  writeFileSync(join(service, "run"), `#!/bin/sh\nexec php-cgi -b ${join(directory, "runit.sock")}\n`, { mode: 0o755 });
  const peer = new Peer(["/usr/bin/runsv", service]);
  await until("runsv's php-cgi", () => childNamed(peer.pid, "php-cgi", 0));
  return peer;
};

/** Pids of a process's children. */
export const childrenOf = (pid: number): number[] => {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
    return text
      .split(" ")
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return [];
  }
};

/** Pid of a child other than `former` that executes the program `name`. */
export const childNamed = (pid: number, name: string, former: number): number | undefined =>
  childrenOf(pid).find((child) => {
    try {
      return child !== former && readFileSync(`/proc/${child}/comm`, "latin1").trim() === name;
    } catch {
      return false;
    }
  });

/** Proportional set size in kB (proc(5): smaps_rollup). */
export const pssOf = (pid: number): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0);
