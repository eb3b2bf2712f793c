/** Keeps the logger of one log running. */
import { hash } from "node:crypto";
import { constants } from "node:os";
import { messageOf } from "../../core/error-message.ts";
import type { RawExit, RunEvents } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Launches } from "../processes/launches.ts";
import type { Run } from "../processes/process-tree.ts";
import type { ShimLink } from "../shim/link.ts";
import { loggerName, readLoggerName } from "../shim/names.ts";
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

/** What a logger needs of the shim. */
export interface LoggerSurroundings {
  readonly link: ShimLink;
  readonly launches: Launches;
  /** Names of those that an earlier supervisor has left. */
  readonly left: readonly string[];
}

/** Events of a logger. */
export interface LoggerListener {
  report(problem: string): void;
  /** The process of the logger has changed, or ended. */
  replaced(): void;
}

export class Logger {
  readonly #surroundings: LoggerSurroundings;
  readonly #listener: LoggerListener;
  #plan: LogPlan;
  /** Number of the latest one. */
  #number = 0;
  #signature: string | undefined;
  #run: Run | undefined;
  /** Standard error of its loggers, once one has been started or adopted. */
  #stderr: LoggerStderr | undefined;
  /** Whether it was sent TERM so that another one continues. */
  #relieved = false;
  #trouble = "";
  #steady: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed: (() => void) | undefined;

  constructor(plan: LogPlan, surroundings: LoggerSurroundings, listener: LoggerListener) {
    this.#plan = plan;
    this.#surroundings = surroundings;
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
    this.#signature ??= hash("sha256", JSON.stringify(this.#plan.logger(undefined).words), "base64");
    return this.#signature;
  }

  /** Adopts the logger of an earlier supervisor; false where none lives. */
  adopt(): boolean {
    const { link, launches, left } = this.#surroundings;
    for (const name of left) {
      this.#number = Math.max(this.#number, readLoggerName(this.#plan.name, name) ?? 0);
      if (this.#run || (link.foundRun(name)?.state ?? "exited") === "exited") continue;
      this.#run = launches.adopt(name, undefined, this.#events(Date.now()));
    }
    if (this.#run === undefined) return false;
    try {
      this.#stderr = new LoggerStderr(link, this.#plan);
    } catch (error) {
      this.#listener.report(messageOf(error));
    }
    return true;
  }

  start(): void {
    this.#retry = undefined;
    if (this.#closed) {
      this.#closed();
      return;
    }
    const { link, launches } = this.#surroundings;
    const { name: fifo, containment } = this.#plan;
    try {
      const plan = this.#plan.logger(containment?.group());
      this.#stderr ??= new LoggerStderr(link, this.#plan);
      this.#number += 1;
      const options = {
        descriptors: new Map([
          [0, { kind: "input", name: fifo }],
          [2, { kind: "fifo", name: this.#stderr.name }],
        ] as const),
        // Without the shim nobody would end it, and it would keep the lock of its directory.
        deathSignal: constants.signals.SIGTERM,
      };
      const name = loggerName(fifo, this.#number);
      this.#run = launches.launch(name, plan, options, this.#events(Date.now()));
      this.#steady = setTimeout(() => {
        this.#trouble = "";
      }, STEADY).unref();
    } catch (error) {
      this.#trouble = messageOf(error);
      this.#listener.report(this.#trouble);
      this.#retry = setTimeout(() => this.start(), QUICK_END);
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
    this.#run?.signal(constants.signals.SIGTERM);
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
    const failure = exit?.failure && `${exit.failure.stage}: ${exit.failure.reason}`;
    const words = this.#stderr?.last() || (failure ?? "");
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
    else this.#run?.signal(constants.signals.SIGKILL);
  }

  /** To be called when it has ended. */
  close(): void {
    this.#stderr?.close();
    this.#stderr = undefined;
  }
}
