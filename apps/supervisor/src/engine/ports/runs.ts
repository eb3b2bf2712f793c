/** Runs: process trees from their launch until no process is left. */
import type { InstanceKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { RunUsage } from "../../core/run-usage.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HeldLog } from "./logs.ts";
import type { HelperProcess, ProcessIdentity, Sampled } from "./processes.ts";
import type { BindDirectory, HeldSocket } from "./sockets.ts";

/** How the next supervisor finds a live run again. Plain data. */
export interface RunTrace {
  /** Start time 0: it has ended, or its processes cannot be seen. */
  readonly leader: ProcessIdentity;
  readonly cgroup: string | undefined;
  /** HeldSocket.file of the socket that it listens on. */
  readonly socketFile: number | undefined;
  /** Number of the run that its container was made for; undefined where it has none. */
  readonly container?: number | undefined;
}

/** A run that has been launched. */
export interface LiveRun extends Sampled {
  /** Of its main process; 0 where it is unknown yet. Inside of its container where the processes of that cannot be seen. */
  readonly pid: number;
  /** undefined while its container is being made. */
  readonly trace: RunTrace | undefined;
  /** Sends a signal to all of its processes. */
  signalAll(signal: number): void;
  /** Sends a signal to its main process. */
  signal(signal: number): void;
  /** Sends TERM to each of its processes that catches it, and to the others when none has a client's connection. */
  drain(): void;
  /** Whether one of its processes has a client's connection; undefined where that takes too long to find out. */
  serves(): boolean | undefined;
  /** Kills all of its processes. */
  kill(): void;
  usage(): RunUsage;
}

/**
 * How a run's main process ended. `failure`: its launch failed, at this stage; `oomKilled`: the kernel killed one of the run's
 * processes because of its memory limit; `peak`: most bytes that all of them had. undefined: nobody knows.
 */
export type RawExit =
  | ({
      readonly failure?: { readonly stage: string; readonly reason: string } | undefined;
      readonly oomKilled: boolean;
      readonly peak?: number | undefined;
    } & RawEnd)
  | undefined;
/** By an exit code or by a signal. */
export type RawEnd =
  | { readonly code: number; readonly signal: undefined }
  | { readonly code: undefined; readonly signal: string };

/** Events of a run, each but the first at most once and in this order; not before `launch` has returned. */
export interface RunEvents {
  /** The launch waits for something, in words; "" when it continues. @param isBrief requests wait for it as well */
  waiting(reason: string, isBrief?: boolean): void;
  /** The launch has become the daemon's program. */
  launched(): void;
  /** Its process has reported readiness. */
  ready(): void;
  exited(exit: RawExit): void;
  /**
   * No process is left.
   * @param finish exit code of the program that ran after it, if it ended by itself
   * @param next the next run, which the shim has launched by itself; undefined where it has not
   */
  gone(finish: number | undefined, next?: BegunRun): void;
}

/** A run that the shim has launched by itself, and when, by the clock. */
export interface BegunRun {
  readonly pid: number;
  readonly at: number;
}

/** How a run ended, in numbers; code undefined: by a signal, or unknown. */
interface ExitNumbers {
  readonly code: number | undefined;
  /** 0: by none. */
  readonly signal: number;
}

/** What a run gets from the supervisor. */
export interface RunContext {
  readonly socket: HeldSocket | undefined;
  /** Where the run binds a socket itself. */
  readonly bind: BindDirectory | undefined;
  readonly log: HeldLog | undefined;
  /**
   * The program that executes when no process of a run is left and before `gone`; at most for 5 s.
   * @throws errno errors
   */
  readonly finish: ((ending: ExitNumbers) => LaunchPlan) | undefined;
}

/** The place of one instance's runs: one live run at most. Methods may throw errno errors. */
export interface RunSlot {
  /** Path of the socket on which a run reports readiness (sd_notify(3)). */
  readonly notifyPath: string;
  launch(run: number, plan: LaunchPlan, context: RunContext, events: RunEvents): LiveRun;
  /**
   * Takes over the run that was launched by itself after the last one, which is gone.
   * @param pid as `gone` had it
   * @param again as in a plan: LaunchPlan.again
   */
  take(run: number, pid: number, again: number | undefined, context: RunContext, events: RunEvents): LiveRun;
  /** From now on no run follows this one by itself; one may have followed already. */
  forbidNext(run: number): void;
  /**
   * Adopts the run of an earlier supervisor, also where its main process has ended; undefined where it is unknown. The events
   * come either way, from the present state of the run on. From now on no run follows it by itself: see forbidNext.
   */
  adopt(run: number, trace: RunTrace | undefined, context: RunContext, events: RunEvents): LiveRun | undefined;
  /** The finish of its last run, while that executes. */
  finishing(): HelperProcess | undefined;
  /** The cgroup of its run, or of the finish that follows it, and those of runs that may have followed by themselves. */
  groups(): readonly string[];
}

/** A run of an earlier supervisor, whatever the records say. */
export interface FoundRun {
  readonly instance: number;
  readonly run: number;
  /** Whether its main process lives. */
  readonly lives: boolean;
}

export interface Runs {
  slot(key: InstanceKey): RunSlot;
  /** The runs of a daemon that an earlier supervisor launched and nobody has adopted, by instance and number. */
  found(key: { readonly owner: Pick<Account, "name">; readonly name: string }): readonly FoundRun[];
  /** Kills what is left of a run whose daemon no conf file names. */
  removeStray(owner: string, name: string, trace: RunTrace): void;
  /** Kills every run of an earlier supervisor that nobody has adopted, except those of spared owners. */
  removeStrays(isSpared: (owner: string) => boolean): void;
}
