/** Runs: process trees from their launch until no process is left. */
import type { InstanceKey } from "../../core/daemon-key.ts";
import type { Ready } from "../../core/definition.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { RunUsage } from "../../core/run-usage.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HeldLog } from "./logs.ts";
import type { HelperProcess, ProcessIdentity, Sampled } from "./processes.ts";
import type { BindDirectory, HeldSocket } from "./sockets.ts";

/** How the next supervisor finds a live run again. Plain data. */
export interface RunTrace {
  readonly leader: ProcessIdentity;
  readonly cgroup: string | undefined;
  /** HeldSocket.file of the socket that it listens on. */
  readonly socketFile: number | undefined;
}

/** A run that has been launched. */
export interface LiveRun extends Sampled {
  readonly pid: number;
  readonly trace: RunTrace;
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
 * How a run's main process ended, by the kernel and the launch chain. `oomKilled`: the kernel killed one of the run's
 * processes because of its memory limit; `peak`: most bytes that all of them had. undefined: it was no child of ours.
 */
export type RawExit =
  | ({ readonly report: string; readonly oomKilled: boolean; readonly peak?: number | undefined } & RawEnd)
  | undefined;
type RawEnd =
  | { readonly code: number; readonly signal: undefined }
  | { readonly code: undefined; readonly signal: string };

/** Events of a run, each but the first at most once and in this order; not before `launch` has returned. */
export interface RunEvents {
  /** The launch chain waits for something, in words; "" when it continues. */
  waiting(reason: string): void;
  /** The launch chain has become the daemon's shell. */
  launched(): void;
  /** Its process has reported readiness. */
  ready(): void;
  exited(exit: RawExit): void;
  /** No process is left. `finish`: exit code of the program that ran after it, if it ended by itself. */
  gone(finish: number | undefined): void;
}

/** How a run ended, in numbers; code undefined: by a signal, or unknown. */
export interface ExitNumbers {
  readonly code: number | undefined;
  /** 0: by none. */
  readonly signal: number;
}

/** The program that runs when no process of a run is left and before `gone`; at most for 5 s. */
export interface FinishLaunch {
  readonly plan: LaunchPlan;
  readonly cgroup: string | undefined;
}

/** What a run gets from the supervisor. */
export interface RunContext {
  readonly socket: HeldSocket | undefined;
  /** Where the run binds a socket itself. */
  readonly bind: BindDirectory | undefined;
  /** Whether the socket becomes descriptor 0, or none does. */
  readonly input: "socket" | "nothing";
  /** How it reports readiness. */
  readonly ready: Ready;
  readonly account: Account;
  readonly log: HeldLog | undefined;
  readonly cgroup: string | undefined;
  /** @throws errno errors */
  readonly finish: ((ending: ExitNumbers) => FinishLaunch) | undefined;
}

/** The place of one instance's runs: one live run and one standby launch at most. Methods may throw errno errors. */
export interface RunSlot {
  /** Path of the socket on which a run reports readiness (sd_notify(3)). */
  readonly notifyPath: string;
  /** The standby launch for this run, if it waits at the gate. */
  standby(run: number): { readonly cgroup: string | undefined } | undefined;
  /** Launches a plan: by the standby launch, which must have this plan, where there is one; else from the start. */
  launch(run: number, plan: LaunchPlan, context: RunContext, events: RunEvents): LiveRun;
  /** Advances the launch of a plan to where only the tenant's part is left, and keeps it there for that run. */
  prepare(run: number, plan: LaunchPlan, context: RunContext): void;
  /** Ends the standby launch. */
  discard(): void;
  /** Adopts the run of an earlier supervisor; undefined when its main process has ended. `events.gone` comes either way. */
  adopt(
    run: number,
    trace: RunTrace | undefined,
    context: Pick<RunContext, "socket" | "bind" | "finish" | "log">,
    events: RunEvents,
  ): LiveRun | undefined;
  /** The finish of its last run, while that executes. */
  finishing(): HelperProcess | undefined;
  /** cgroups of its run and its standby launch. */
  groups(): readonly string[];
}

export interface Runs {
  slot(key: InstanceKey): RunSlot;
  /** Kills what is left of a run whose daemon no conf file names. */
  removeStray(owner: string, name: string, trace: RunTrace): void;
}
