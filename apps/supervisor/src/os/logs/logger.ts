/** Keeps the logger of one log running. */
import { hash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { constants as system } from "node:os";
import { messageOf } from "../../core/error-message.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { RawExit, RunEvents } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Poller } from "../kernel/poller.ts";
import { adopt } from "../processes/adopt.ts";
import { launch } from "../processes/launch-chain.ts";
import type { Run } from "../processes/process-tree.ts";
import type { LogPlan } from "./log-plan.ts";
import { LoggerStderr } from "./logger-stderr.ts";

/** Shortest interval between two starts. In ms. */
const QUICK_END = 1000;
/** Age at which a logger counts as working. In ms. */
const STEADY = 2000;
/** Advice in the report of a logger that ends at once. */
const HINTS = {
  ours: "check that its directory belongs to the owner and has space",
  tenants: "run it by hand as its account",
} as const;

/** Events of a logger. */
export interface LoggerListener {
  report(problem: string): void;
  /** The process of the logger has changed, or ended. */
  replaced(): void;
}

export class Logger {
  readonly #fd: number;
  readonly #listener: LoggerListener;
  #plan: LogPlan;
  #signature: string | undefined;
  #run: Run | undefined;
  /** Standard error of a logger that this supervisor started. */
  #stderr: LoggerStderr | undefined;
  /** Whether it was sent TERM so that another one continues. */
  #relieved = false;
  #trouble = "";
  #steady: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed: (() => void) | undefined;

  /** @param fd the FIFO */
  constructor(plan: LogPlan, fd: number, listener: LoggerListener) {
    this.#plan = plan;
    this.#fd = fd;
    this.#listener = listener;
  }

  /** Its run; undefined between two of them. */
  get run(): Run | undefined {
    return this.#run;
  }
  /** Why the last logger ended although it was to continue, or could not start; "" once one works. */
  get trouble(): string {
    return this.#trouble;
  }
  get #isTenants(): boolean {
    return this.#plan.containment !== undefined;
  }

  /** Equal for loggers that write alike; undefined for a tenant's program, which may write anything. */
  get signature(): string | undefined {
    if (this.#isTenants) return undefined;
    this.#signature ??= hash("sha256", JSON.stringify(this.#plan.logger(undefined).argv), "base64");
    return this.#signature;
  }

  /** Adopts the logger of an earlier supervisor; false where it has ended. */
  adopt(leader: ProcessIdentity, cgroup: string | undefined, poller: Poller): boolean {
    this.#run = adopt(leader, cgroup, poller, this.#events(Date.now()));
    return this.#run !== undefined;
  }

  start(): void {
    this.#retry = undefined;
    if (this.#closed) {
      this.#closed();
      return;
    }
    let input: number | undefined;
    try {
      // Not by its path, where another file may be by now.
      input = openSync(`/proc/self/fd/${this.#fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
      const cgroup = this.#plan.containment?.group();
      const plan = this.#plan.logger(cgroup);
      const { fifo, writer, destination } = this.#plan;
      this.#stderr ??= new LoggerStderr(`${fifo}.errors`, destination?.identity.uid ?? writer.uid);
      const stdio = { input, output: "ignore", stderr: this.#stderr.fd } as const;
      this.#run = launch(plan, stdio, cgroup, this.#events(Date.now()));
      this.#steady = setTimeout(() => {
        this.#trouble = "";
      }, STEADY).unref();
    } catch (error) {
      this.#trouble = messageOf(error);
      this.#listener.report(this.#trouble);
      this.#retry = setTimeout(() => this.start(), QUICK_END);
    } finally {
      if (input !== undefined) closeSync(input);
    }
    this.#listener.replaced();
  }

  /** Replaces the plan; a logger that writes in another way takes over where the present one ends. */
  follow(logger: LaunchPlan): void {
    const before = this.signature;
    this.#plan = { ...this.#plan, logger: () => logger };
    this.#signature = undefined;
    if (this.signature !== before) this.relieve();
  }

  /** Sends TERM, at which it ends between two lines; the next logger continues. */
  relieve(): void {
    this.#relieved = true;
    this.#run?.signal(system.signals.SIGTERM);
  }

  #events(startedAt: number): RunEvents {
    let last: RawExit;
    return {
      waiting: () => undefined,
      launched: () => undefined,
      ready: () => undefined,
      exited: (exit) => {
        last = exit;
        if (this.#isTenants) this.#run?.kill();
        else this.#ended(exit, startedAt);
      },
      gone: () => {
        if (this.#isTenants) this.#ended(last, startedAt);
      },
    };
  }

  #ended(exit: RawExit, startedAt: number): void {
    this.#run = undefined;
    clearTimeout(this.#steady);
    if (this.#closed) {
      this.#closed();
      return;
    }
    const age = Date.now() - startedAt;
    const early = age < QUICK_END && !this.#relieved;
    const words = this.#stderr?.last() || (exit?.report ?? "").trim().replaceAll("\n", ": ");
    if (!this.#relieved && (early || (exit?.code ?? 0) !== 0)) this.#trouble = this.#troubleOf(exit, early, words);
    this.#relieved = false;
    if (early) {
      const hint = this.#isTenants ? HINTS.tenants : HINTS.ours;
      const code = exit?.code === undefined ? "" : ` with code ${exit.code}`;
      this.#listener.report(`the logger ended at once${code}${words === "" ? "" : `: ${words}`}; ${hint}`);
    }
    this.#retry = setTimeout(() => this.start(), early ? QUICK_END - age : 0);
  }

  #troubleOf(exit: RawExit, early: boolean, words: string): string {
    const program = this.#isTenants ? "log/run" : "its logger";
    const how = exit?.code !== undefined ? ` with code ${exit.code}` : exit ? ` by ${exit.signal}` : "";
    return `${program} ended${early ? " at once" : ""}${how}${words === "" ? "" : `: ${words}`}`;
  }

  /** Starts no further logger; resolves when the present one has ended. */
  finish(): Promise<void> {
    clearTimeout(this.#steady);
    clearTimeout(this.#retry);
    const ended = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    return this.#run ? ended : Promise.resolve();
  }

  kill(): void {
    if (this.#isTenants) this.#run?.kill();
    else this.#run?.signal(system.signals.SIGKILL);
  }

  /** To be called when it has ended. */
  close(): void {
    this.#stderr?.close();
    this.#stderr = undefined;
  }
}
