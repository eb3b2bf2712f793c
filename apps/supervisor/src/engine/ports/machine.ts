/** What the supervisor needs of the operating system: the port that os/ fills in and main.ts plugs together. */
import type { Allotment } from "../../core/allowance.ts";
import type { DaemonKey, InstanceKey } from "../../core/daemon-key.ts";
import type { Definition, Ready } from "../../core/definition.ts";
import type { Means } from "../../core/enforcement.ts";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { State } from "../../core/lifecycle.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { LaunchPlan } from "../../launch/plan.ts";

/** A conf file, or a service directory, as it was found: what it defines, or why it defines nothing. */
export interface FoundFile {
  readonly name: string;
  readonly kind: "conf" | "service";
  /** Of the conf file, or of the service directory's `run`. */
  readonly path: string;
  readonly definition: Definition | undefined;
  /** Whether it could be read at all. */
  readonly legible: boolean;
  /** Each `path:line: text`. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Equal for equal contents. */
  readonly fingerprint: string;
}

/** Where an owner's files are: directories that only the owner and root may write, the last of each the one that is meant. */
export interface Places {
  /** Of the conf files. */
  readonly chain: readonly string[];
  /** Of the service directories. */
  readonly serviceChain: readonly string[];
}

/** What an owner's directories of conf files and of service directories hold. */
export interface FoundFiles {
  readonly files: readonly FoundFile[];
  /** Names of files that are there and were not read, because there are too many. */
  readonly passedOver: readonly string[];
  /** What could not be read at all, each `path: reason`. */
  readonly problems: readonly string[];
  /** Whether the directories could be looked through: if not, a file that is missing here need not be gone. */
  readonly complete: boolean;
}

/** A published listening socket. */
export interface HeldSocket {
  readonly path: string;
  /** Whether it is new; if not, the run of an earlier supervisor listens on the same. */
  readonly fresh: boolean;
  /** Whether clients still find it, and can connect. */
  intact(): boolean;
  /** Lets as many clients wait as at the beginning, whatever a program has made of that. */
  widen(): void;
  /** Lets clients connect, or turns them away. */
  admit(clients: boolean): void;
  /** Sends those away who wait to be accepted. No process of the daemon may live. */
  dismiss(): void;
  /** Forgets the clients there were: see SocketEvidence.touched. */
  mark(): void;
  observe(): SocketEvidence;
  /** Calls `came` once, as soon as a client waits. */
  awaitClient(came: () => void): void;
  close(): void;
}

/** Where the processes of a daemon bind sockets of their own, each run in a directory that no other has. */
export interface BindingPlace {
  /** Where the socket of the run in force is published. */
  readonly path: string;
  /**
   * Makes the directory of a run; gives the path that its process is to bind.
   * @throws errno errors; where too many directories of former runs cannot be taken away
   */
  provide(run: number): string;
  /** Publishes what the run has bound, if that is there and somebody listens on it; true from then on. */
  publish(run: number): boolean;
  /** What of all that is in a run's directory is more than there may be, in words; undefined where nothing is. Never rejects. */
  excess(run: number): Promise<string | undefined>;
  /** Takes a run's directory away. */
  clear(run: number): void;
  close(): void;
}

/** What could not be logged because the logger did not take it, and its daemon was not to wait for ever. */
export interface LogLoss {
  /** Lines that were dropped since the supervisor first knew the daemon. */
  readonly lines: number;
  /** Why lines are being dropped at this time, and why the last logger ended; "" when none are and one does its work. */
  readonly reason: string;
}

/** A daemon's log, open for its daemon to write to. */
export interface HeldLog {
  loss(): LogLoss;
  /** From now on its lines are written by this logger; none is lost. */
  follow(logger: LaunchPlan): void;
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
  /** Sends TERM to each of its processes that expects it, and to the others when none has a client's connection in hand. */
  drain(): void;
  /** Whether one of its processes has a client's connection in hand; undefined where that takes too long to find out. */
  serves(): boolean | undefined;
  /** Kills whatever is left of it. */
  kill(): void;
  usage(): RunUsage;
}

/**
 * How a run's main process ended, as the kernel and the launch chain tell it. `oomKilled`: the kernel has killed one of the
 * run's processes because there was no memory for it;
 * `peak`: what all of them had at most, in bytes.
 */
export type RawExit =
  | ({ readonly report: string; readonly oomKilled: boolean; readonly peak?: number | undefined } & RawEnd)
  | undefined;
type RawEnd =
  | { readonly code: number; readonly signal: undefined }
  | { readonly code: undefined; readonly signal: string };

/** What a run uses of the machine. What this machine cannot tell is undefined. */
export interface RunUsage {
  /** Bytes. */
  readonly memory: number | undefined;
  /** Most bytes so far. */
  readonly memoryPeak: number | undefined;
  readonly processes: number | undefined;
  /** Seconds of processor time so far. */
  readonly cpu: number | undefined;
  /** Seconds for which `cpu=` has held its daemon back, this run and others, as long as the daemon has had its group. */
  readonly throttled: number | undefined;
  /** Part of the last 10 s in which one of its processes waited for memory, in per cent. */
  readonly memoryPressure: number | undefined;
  /** Processes of it that were killed for want of memory so far, while it goes on. */
  readonly oomKills: number | undefined;
}

/** What a run tells of itself, each but the first at most once and in this order; not before `launch` has returned. */
export interface RunNews {
  /** The launch chain waits for something, in words; "" when it goes on. */
  waiting(reason: string): void;
  /** The launch chain has become the daemon's shell. */
  launched(): void;
  /** Its process has told that it is ready. */
  ready(): void;
  /** undefined: it was no child of ours. */
  exited(exit: RawExit): void;
  /** `finish`: exit code of what was run after it, if it ended by itself. */
  gone(finish: number | undefined): void;
}

/** How a run ended, in numbers; code undefined: by a signal, or nobody saw it. */
export interface Ending {
  readonly code: number | undefined;
  /** 0: by none. */
  readonly signal: number;
}

/** What is run, in a cgroup of its own, when nothing of a run is left and before that is told; at most for 5 s. */
export type Finish = (ending: Ending, cgroup: string | undefined) => LaunchPlan;

/** What one supervisor leaves for the next about an instance of a daemon. */
export interface InstanceRecord {
  readonly state: State;
  /** FoundFile.fingerprint of the file that its run was made of. */
  readonly fingerprint: string;
  /** How many instances its daemon was told to have, if not what the file says. */
  readonly scale: number | undefined;
  /** How many its daemon is to have. */
  readonly size: number;
  /** `fresh`: it is to replace another, which is still there; `surplus`: it goes, and is not begun again. */
  readonly role: "active" | "fresh" | "retiring";
  /** Opaque to the supervisor: how the machine finds the live run and the log's writer again. */
  readonly traces: unknown;
  /** Lines of its output that were dropped (LogLoss.lines). */
  readonly dropped?: number;
}

/** What is a daemon's, and none of its runs. */
export interface Attendant {
  /** Kills it with all that it started; the reason is reported. */
  end(reason: string): void;
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
  /** Directory of the programs that scripts of service directories call by their old names. */
  readonly tools: string;

  /**
   * Reads the conf files and service directories of an owner. What others than the owner and root may have written is
   * not read. Directories of conf files below the owner's home are made where they are missing. Of a conf file and a
   * service directory of one name the conf file counts. Of too many, those are read that are `loaded` already.
   */
  readFiles(owner: Account, places: Places, loaded: readonly string[]): FoundFiles;
  /**
   * Calls `changed` when something has changed there and nothing has for a while. Replaces an earlier watch.
   * @throws Error that begins with the path that cannot be watched
   */
  watchFiles(owner: Account, places: Places, changed: () => void): void;
  /** Reads one of them; undefined when there is neither such a file nor such a directory. */
  readFile(owner: Account, places: Places, name: string): FoundFile | undefined;

  /**
   * Publishes the daemon's socket for the members of `group`, or takes over that of an earlier supervisor's run, which
   * has it as `descriptor`.
   */
  openSocket(key: DaemonKey, group: string, descriptor: number): HeldSocket;
  /** Takes that of an earlier supervisor's run over; where it cannot be had, the run keeps it, and nothing is published. */
  takeSocket(key: DaemonKey, group: string, descriptor: number): HeldSocket | undefined;
  openBinding(key: DaemonKey, group: string, binder: Account): BindingPlace;
  openLog(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string): HeldLog;
  /** The same with a logger that is a tenant's program: it gets a cgroup, and is ended with all that it started. */
  openServiceLog(key: DaemonKey, writer: Account, logger: (cgroup: string | undefined) => LaunchPlan): HeldLog;
  /** What it has to hold limits by. */
  readonly means: Means;
  /** Path of a cgroup for this run, held to its allotment, where there are cgroups. */
  makeGroup(key: InstanceKey, run: number, allotment: Allotment): string | undefined;
  /** Holds the daemon's cgroup, where it has one, and its owner's to other limits from now on. */
  allot(key: DaemonKey, allotment: Allotment): void;
  /**
   * Bytes of memory that live runs have which other processes do not share; undefined for one that has ended. One that
   * seems to have more than `doubtful` is measured exactly.
   */
  sizes(
    runs: readonly { readonly of: InstanceKey | Attendant; readonly doubtful: number }[],
  ): readonly (number | undefined)[];
  /** What runs beside the daemon's runs at present and is a tenant's program, too: its log/run, and a finish. */
  attendants(key: DaemonKey): readonly Attendant[];
  /** Path of the socket on which a run tells that it is ready (sd_notify(3)). */
  notifyPath(key: InstanceKey): string;
  /** Launches a plan: by what was prepared, if that was the same plan, else from the beginning. */
  launch(key: InstanceKey, plan: LaunchPlan, held: Held, news: RunNews): LiveRun;
  /** Leads the launch of a plan to where only the tenant's part is left, and keeps it there for that run. */
  prepare(key: InstanceKey, run: number, plan: LaunchPlan, held: Held): void;
  /** Gives up what was prepared. */
  discard(key: InstanceKey): void;
  /** Takes up the run of an earlier supervisor; undefined when its main process has ended. `news.gone` comes either way. */
  adopt(
    key: InstanceKey,
    record: InstanceRecord,
    held: Pick<Held, "socket" | "binding" | "finish">,
    news: RunNews,
  ): LiveRun | undefined;

  /** What an earlier supervisor on this boot of the machine left about the daemon, by instance. */
  recall(key: DaemonKey): ReadonlyMap<number, InstanceRecord>;
  remember(key: InstanceKey, record: Omit<InstanceRecord, "traces">): void;
  forget(key: InstanceKey): void;
}

/** What a daemon's run is given by the supervisor. */
export interface Held {
  readonly socket: HeldSocket | undefined;
  /** Where the run binds a socket of its own. */
  readonly binding: { readonly place: BindingPlace; readonly run: number } | undefined;
  /** Descriptor that the socket becomes: 0, or for the launch chain to pass on. */
  readonly input: "socket" | "nothing";
  /** How it tells that it is ready. */
  readonly ready: Ready;
  readonly account: Account;
  readonly log: HeldLog | undefined;
  readonly cgroup: string | undefined;
  readonly finish: Finish | undefined;
}
