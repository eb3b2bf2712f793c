/** A supervisor for one test file, independent of any other on this machine. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonState, DaemonStatus, Outcome, RescanResult } from "@dmhost/contract";
import { type Answer, ask } from "./control-api.ts";
import { allProcesses, argumentsOf, kill } from "./proc.ts";
import { SUPERVISOR, until } from "./program.ts";

/** A line of the supervisor's log; `level` is pino's, `time` in ms. */
export interface LogEntry {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly daemon?: string;
  readonly owner?: string;
  readonly run?: number;
  readonly event?: string;
  readonly reason?: string;
  readonly problem?: string;
  readonly err?: { readonly message: string };
}

/** Requests that answer when the daemon has settled. */
export type Act = "start" | "once" | "stop" | "restart" | "pause" | "continue" | "exit";

/** How the supervisor is started, besides its directories. */
export interface SupervisorOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Program and arguments that exec the supervisor, e.g. as another account. */
  readonly through?: readonly string[];
  /** Node with its flags and the supervisor's main file; by default those of the checkout. */
  readonly program?: readonly string[];
  /** Whether it is started without --config. */
  readonly withoutConfig?: boolean;
  /** More flags. */
  readonly flags?: readonly string[];
}

/** Lines of the log that an error shows when a supervisor has ended. */
const LAST_LINES = 40;
/** Descriptors 3 to 19 are closed; 20, which Node does not check, simulates one that the parent left open. */
const GAP = Array<"ignore">(17).fill("ignore");

export class Supervisor {
  readonly config: string;
  /** Of its next start, as the two that follow. */
  runDir: string;
  fastcgiDir: string;
  stateDir: string;
  readonly #logFile: string;
  readonly #options: SupervisorOptions;
  #child: ChildProcess | undefined;

  /** @param directory holds its policy, its log and all of its directories */
  constructor(directory: string, options: SupervisorOptions = {}) {
    this.config = join(directory, "policy.conf");
    this.runDir = join(directory, "run");
    this.fastcgiDir = join(directory, "fastcgi");
    this.stateDir = join(directory, "state");
    this.#logFile = join(directory, "supervisor.log");
    this.#options = options;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }
  /** The socket that every account may connect to. */
  get socket(): string {
    return join(this.runDir, "command.sock");
  }
  /** Name of its cgroup below the mount of the unified hierarchy. */
  get cgroup(): string {
    return `dmhost-${this.runDir.slice(1).replaceAll("-", "--").replaceAll("/", "-")}`;
  }

  /** Starts it without waiting. */
  spawn(): ChildProcess {
    const { env = {}, through = [], program, withoutConfig = false, flags = [] } = this.#options;
    const words = program ?? SUPERVISOR;
    const directories = ["--run-dir", this.runDir, "--fastcgi-dir", this.fastcgiDir, "--state-dir", this.stateDir];
    const policy = withoutConfig ? [] : ["--config", this.config];
    const argv = [...through, ...words, ...policy, ...directories, "--log-level", "debug", ...flags];
    const log = openSync(this.#logFile, "a");
    const [file = "", ...args] = argv;
    const child = spawn(file, args, {
      env: { PATH: "/usr/bin:/bin", ...env },
      cwd: "/",
      stdio: ["ignore", "ignore", log, ...GAP, log],
    });
    closeSync(log);
    this.#child = child;
    return child;
  }

  /** Starts it and waits until it is ready. */
  async start(): Promise<void> {
    const before = this.log().length;
    const child = this.spawn();
    await until("the supervisor to be ready", () => {
      if (child.exitCode !== null) throw new Error(`the supervisor ended with code ${child.exitCode}:\n${this.text()}`);
      return this.log()
        .slice(before)
        .some(({ msg }) => msg === "ready");
    });
  }

  /** Sends a signal to it alone and waits for its exit; returns its exit code, or the signal that ended it. */
  async end(signal: NodeJS.Signals): Promise<number | string> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? child?.signalCode ?? 0;
    const ended = once(child, "exit");
    child.kill(signal);
    const [code, name] = (await ended) as [number | null, string | null];
    return code ?? name ?? "";
  }

  /** Pid of its shim; undefined where none runs. */
  get shim(): number | undefined {
    const path = join(this.runDir, "shim.sock");
    return allProcesses().find((pid) => argumentsOf(pid).at(-1) === path);
  }

  /** Kills it and its shim, in any state. */
  async remove(): Promise<void> {
    await this.end("SIGKILL");
    const { shim } = this;
    if (shim !== undefined) kill(shim);
  }

  /** Sends a signal to it alone. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Everything that it and its predecessors have written. */
  text(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : "";
  }

  /** The lines of its log. */
  log(): LogEntry[] {
    return this.text()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as LogEntry);
  }

  /** Times in ms at which a run of the daemon was spawned. */
  starts(id: string): number[] {
    const spawned = this.log().filter(
      ({ daemon, msg, event }) => daemon === id && msg === "starting" && event !== "launched",
    );
    return spawned.map(({ time }) => time);
  }

  /** Calls its API as root. When the supervisor has ended, the error says so and shows its last lines. */
  async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    try {
      return await ask(this.socket, method, path, body);
    } catch (error) {
      const { exitCode, signalCode } = this.#child ?? {};
      if ((exitCode ?? signalCode ?? undefined) === undefined) throw error;
      const lines = this.text().trimEnd().split("\n").slice(-LAST_LINES).join("\n");
      throw new Error(`the supervisor has ended with ${exitCode ?? signalCode}; its last lines:\n${lines}`, {
        cause: error,
      });
    }
  }

  async status(id: string): Promise<DaemonStatus> {
    const { status, body } = await this.ask("GET", `/v1/daemons/${encodeURIComponent(id)}`);
    if (status !== 200) throw new Error(`${id}: ${JSON.stringify(body)}`);
    return body as DaemonStatus;
  }

  /** Waits until the daemon is in this state, and with a process that is not `former`. */
  reaches(id: string, state: DaemonState, former = 0): Promise<DaemonStatus> {
    return until(`${id} ${state}`, async () => {
      const status = await this.status(id);
      return status.state === state && (former === 0 || status.pid !== former) && status;
    });
  }

  async act(verb: Act, id: string): Promise<Outcome> {
    return (await this.ask("POST", `/v1/daemons/${encodeURIComponent(id)}/${verb}`)).body as Outcome;
  }

  async scale(id: string, instances: number): Promise<Outcome> {
    return (await this.ask("POST", `/v1/daemons/${encodeURIComponent(id)}/scale`, { instances })).body as Outcome;
  }

  async rescan(): Promise<RescanResult> {
    return (await this.ask("POST", "/v1/rescan")).body as RescanResult;
  }

  /** Starts a daemon that has to come up. */
  async up(id: string): Promise<DaemonStatus> {
    const { ok, reason, daemon } = await this.act("start", id);
    if (!ok) throw new Error(reason);
    return daemon;
  }
}
