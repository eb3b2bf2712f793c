/** What the supervisor needs of the operating system: the port that os/ fills in and main.ts plugs together. */
import type { Definition } from "./core/definition.ts";
import type { SocketEvidence } from "./core/evidence.ts";
import type { LaunchPlan } from "./core/launch.ts";
import type { State } from "./core/lifecycle.ts";
import type { Account } from "./core/policy-rules.ts";

/** A conf file as it was found: what it defines, or why it defines nothing. */
export interface FoundFile {
  readonly name: string;
  readonly path: string;
  readonly definition: Definition | undefined;
  /** Each `path:line: text`. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Equal for equal contents. */
  readonly fingerprint: string;
}

/** What an owner's conf directory holds. */
export interface FoundFiles {
  readonly files: readonly FoundFile[];
  /** What could not be read at all, each `path: reason`. */
  readonly problems: readonly string[];
  /** Whether the directory could be looked through: if not, a file that is missing here need not be gone. */
  readonly complete: boolean;
}

/** A published FastCGI socket. */
export interface HeldSocket {
  readonly path: string;
  /** Whether it is new; if not, the run of an earlier supervisor listens on the same. */
  readonly fresh: boolean;
  /** Whether clients still find it. */
  intact(): boolean;
  /** Forgets the clients there were: see SocketEvidence.touched. */
  mark(): void;
  observe(): SocketEvidence;
  close(): void;
}

/** What could not be logged because the logger did not take it, and its daemon was not to wait for ever. */
export interface LogLoss {
  /** Lines that were dropped since the supervisor first knew the daemon. */
  readonly lines: number;
  /** Why lines are being dropped at this time; "" when none are. */
  readonly reason: string;
}

/** A daemon's log, open for its daemon to write to. */
export interface HeldLog {
  loss(): LogLoss;
  /** Resolves when all that was written is in the log's files. */
  close(): Promise<void>;
}

/** A run that has been launched. */
export interface LiveRun {
  readonly pid: number;
  /** Sends a signal to all of its processes. */
  signalAll(signal: number): void;
  /** Sends a signal to its main process. */
  signal(signal: number): void;
  /** Kills whatever is left of it. */
  kill(): void;
}

/** How a run's main process ended, as the kernel and the launch chain tell it. */
export type RawExit =
  | { readonly code: number; readonly signal: undefined; readonly report: string }
  | { readonly code: undefined; readonly signal: string; readonly report: string }
  | undefined;

/** What a run tells of itself, each at most once and in this order; not before `launch` has returned. */
export interface RunNews {
  /** The launch chain has become the daemon's shell. */
  launched(): void;
  /** undefined: it was no child of ours. */
  exited(exit: RawExit): void;
  gone(): void;
}

/** What one supervisor leaves for the next about a daemon. */
export interface DaemonRecord {
  readonly state: State;
  /** FoundFile.fingerprint of the file that its run was made of. */
  readonly fingerprint: string;
  /** Opaque to the supervisor: how the machine finds the live run and the log's writer again. */
  readonly traces: unknown;
  /** Lines of its output that were dropped (LogLoss.lines). */
  readonly dropped?: number;
}

/** Which daemon is meant, and whose it is. */
export interface DaemonKey {
  readonly owner: Account;
  readonly name: string;
}

/** The operating system as seen from the supervisor. Every method may throw an errno error. */
export interface Machine {
  /** Milliseconds of a clock that never goes back, and goes on when the supervisor is replaced. */
  now(): number;
  /** From [0, 1). */
  random(): number;
  /** Calls `then` after `delay` ms unless the function returned is called first. */
  after(delay: number, then: () => void): () => void;
  /** Whether it may act as other accounts; if not, its own is the only tenant. */
  readonly privileged: boolean;

  /**
   * Reads the conf files of an owner in the last directory of `chain`, if only the owner and root may write to each of
   * them. Directories below the owner's home are made where they are missing.
   */
  readFiles(owner: Account, chain: readonly string[]): FoundFiles;
  /** Calls `changed` when something has changed there and nothing has for a while. Replaces an earlier watch. */
  watchFiles(owner: Account, chain: readonly string[], changed: () => void): void;
  /** Reads one of them; undefined when there is no such file. */
  readFile(owner: Account, chain: readonly string[], name: string): FoundFile | undefined;

  /** Publishes the daemon's socket, or takes over that of an earlier supervisor's run. */
  openSocket(key: DaemonKey, group: string): HeldSocket;
  openLog(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string): HeldLog;
  /** Path of a cgroup for this run, where there are cgroups. */
  makeGroup(key: DaemonKey, run: number): string | undefined;
  /** Launches a plan: by what was prepared, if that was the same plan, else from the beginning. */
  launch(key: DaemonKey, plan: LaunchPlan, held: Held, news: RunNews): LiveRun;
  /** Leads the launch of a plan to where only the tenant's part is left, and keeps it there for that run. */
  prepare(key: DaemonKey, run: number, plan: LaunchPlan, held: Held): void;
  /** Gives up what was prepared. */
  discard(key: DaemonKey): void;
  /** Takes up the run of an earlier supervisor; undefined when its main process has ended. `news.gone` comes either way. */
  adopt(key: DaemonKey, record: DaemonRecord, news: RunNews): LiveRun | undefined;

  /** What an earlier supervisor on this boot of the machine left about the daemon. */
  recall(key: DaemonKey): DaemonRecord | undefined;
  remember(key: DaemonKey, state: State, fingerprint: string): void;
  forget(key: DaemonKey): void;
}

/** What a daemon's run is given by the supervisor. */
export interface Held {
  readonly socket: HeldSocket | undefined;
  readonly log: HeldLog | undefined;
  readonly cgroup: string | undefined;
}
