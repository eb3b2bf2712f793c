/** A built shim under test, with a supervisor's connections to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { ShimRun, ShimSocket } from "../../apps/supervisor/src/os/shim/objects.ts";
import type { ShimPlan } from "../../apps/supervisor/src/os/shim/plan.ts";
import { followShim, Shim } from "../../apps/supervisor/src/os/shim/shim.ts";
import { VERSIONS } from "../../apps/supervisor/src/os/shim/wire.ts";
import type { Account } from "./account.ts";
import { kill } from "./proc.ts";
import { CHECKOUT, succeed, until } from "./program.ts";

const TIMEOUT = 10_000;

/** Builds the shim into a directory; returns the program. DMHOST_TEST_SHIM=sanitized: with sanitizers. */
export const buildShim = async (directory: string): Promise<string> => {
  const program = join(directory, "dmhost-shim");
  await succeed(join(CHECKOUT, "shim/build"), process.env["DMHOST_TEST_SHIM"] ?? "program", program);
  return program;
};

/** A plan that runs a line of sh as an account, or as the account of the shim. */
export const lineOf = (start: string, account?: Account, change: Partial<ShimPlan> = {}): ShimPlan => ({
  shell: "/bin/sh",
  start,
  environment: new Map([["PATH", "/usr/bin:/bin"]]),
  directory: "/",
  ...(account && { account: { uid: account.uid, gid: account.gid, groups: [account.gid] } }),
  ...change,
});

export class ShimProgram {
  /** All that were started and not removed. */
  static readonly #started = new Set<ShimProgram>();

  readonly path: string;
  /** What the events have reported, by name. */
  readonly runs = new Map<string, ShimRun>();
  readonly clients = new Map<string, ShimSocket>();
  readonly #argv: readonly string[];
  readonly #uid: number;
  #process: ChildProcess | undefined;
  #requests: Shim | undefined;
  #events: Socket | undefined;

  /**
   * @param through words before the program
   * @param uid of the shim, which its supervisor must have as well
   */
  constructor(program: string, path: string, through: readonly string[] = [], uid = 0) {
    this.path = path;
    this.#uid = uid;
    this.#argv = [...through, program, "-d", "3", path];
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }
  /** The connection for requests. */
  get ask(): Shim {
    if (this.#requests === undefined) throw new Error("the shim is not connected");
    return this.#requests;
  }

  /** Starts it, waits until it listens, and connects. */
  async start(): Promise<void> {
    const [file = "", ...args] = this.#argv;
    const child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "pipe"] });
    this.#process = child;
    ShimProgram.#started.add(this);
    const ready = child.stdio[3];
    if (!ready) throw new Error("there is no descriptor for readiness");
    await Promise.race([
      once(ready, "data"),
      once(child, "exit").then(([code]) => Promise.reject(new Error(`the shim exited with code ${code}`))),
    ]);
    await this.connect();
  }

  /** Connects for requests and events, as a new supervisor does. */
  async connect(): Promise<void> {
    this.disconnect();
    this.runs.clear();
    this.clients.clear();
    // The kernel records the uid at connect(2), which both connections do at once.
    process.seteuid?.(this.#uid);
    try {
      this.#requests = new Shim(this.path, VERSIONS, TIMEOUT);
      this.#events = followShim(this.path, VERSIONS, {
        run: (run) => this.runs.set(run.name, run),
        client: (socket) => this.clients.set(socket.name, socket),
        container: () => undefined,
        forwarded: () => undefined,
        ended: () => undefined,
      });
    } finally {
      process.seteuid?.(0);
    }
    const runs = this.ask.list().filter(({ kind }) => kind === "run");
    await until("the first events", () => runs.every(({ name }) => this.runs.has(name)));
  }

  disconnect(): void {
    this.#requests?.close();
    this.#events?.destroy();
    this.#requests = undefined;
    this.#events = undefined;
  }

  /** Waits until a run is as it is to be. */
  reaches(name: string, isThere: (run: ShimRun) => boolean): Promise<ShimRun> {
    return until(`the run ${name}`, () => {
      const run = this.runs.get(name);
      return run && isThere(run) && run;
    });
  }

  /** Launches a run; waits until its program has taken over. */
  async up(name: string, plan: ShimPlan): Promise<number> {
    const pid = this.ask.launch(name, plan);
    const { failure } = await this.reaches(name, ({ state }) => state === "launched" || state === "exited");
    if (failure) throw new Error(`${failure.stage}: ${failure.reason}`);
    return pid;
  }

  /** Launches a run and waits for its end, which it acknowledges. */
  async finish(name: string, plan: ShimPlan): Promise<ShimRun> {
    this.ask.launch(name, plan);
    return this.#end(name);
  }

  /** Stage and reason of a launch that fails. */
  async refusal(name: string, plan: ShimPlan): Promise<string> {
    const { failure, end } = await this.finish(name, plan);
    return failure ? `${failure.stage}: ${failure.reason}` : `no failure, ${JSON.stringify(end)}`;
  }

  /** Kills a run; waits for its end, which it acknowledges. */
  async kill(name: string): Promise<ShimRun> {
    const found = this.ask.list().find((each) => each.name === name);
    if (found?.kind !== "run") throw new Error(`there is no run ${name}`);
    kill(found.pid);
    return this.#end(name);
  }

  /** Acknowledges the exit of a run. */
  forget(name: string): void {
    this.ask.forget(name);
    this.runs.delete(name);
  }

  async #end(name: string): Promise<ShimRun> {
    const run = await this.reaches(name, ({ state }) => state === "exited");
    this.forget(name);
    return run;
  }

  /** Resolves with code and signal when it has ended. */
  async ended(): Promise<readonly [code: number | null, signal: string | null]> {
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return [child?.exitCode ?? null, child?.signalCode ?? null];
  }

  /** Removes all shims, also those of a test that has failed: one that stays would keep the test runner waiting. */
  static async removeAll(): Promise<void> {
    for (const each of ShimProgram.#started) await each.remove();
  }

  /** Kills its runs and itself, in any state. */
  async remove(): Promise<void> {
    ShimProgram.#started.delete(this);
    this.disconnect();
    this.#process?.kill("SIGKILL");
    for (const { pid, state } of this.runs.values()) if (state !== "exited") kill(pid);
    await this.ended();
  }
}
