/** What the API needs of the engine. `Supervisor`, `Daemon` and `Instance` have these shapes; tests have smaller ones. */
import type { DaemonKey } from "../core/daemon-key.ts";
import type { Definition } from "../core/definition.ts";
import type { EnforcedLimit, Means } from "../core/enforcement.ts";
import type { State } from "../core/lifecycle.ts";
import type { Policy } from "../core/policy.ts";
import type { Account } from "../core/policy-rules.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { RescanReport } from "../core/rescan-report.ts";
import type { RunUsage } from "../core/run-usage.ts";
import type { PublicationStatus } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";

/** One instance of a daemon. */
export interface ControlledInstance {
  readonly key: { readonly instance: number };
  readonly state: State;
  /** 0 when no process runs. */
  readonly pid: number;
  /** The resource that its launch waits for; "" when it does not wait. */
  readonly waiting: string;
  /** Since when no process of it has lived, by the supervisor's clock, in ms. */
  readonly downSince: number;
  usage(): RunUsage | undefined;
}

/** A daemon. */
export interface ControlledDaemon {
  readonly key: DaemonKey;
  /** `<owner>/<name>`. */
  readonly id: string;
  readonly file: {
    readonly kind: "conf" | "service";
    readonly path: string;
    readonly definition: Definition | undefined;
    /** Each `path:line: text`. */
    readonly errors: readonly string[];
    readonly warnings: readonly string[];
  };
  readonly terms: Terms | undefined;
  readonly state: State;
  readonly representative: ControlledInstance;
  readonly hosts: readonly PublicationStatus[];
  readonly limits: readonly EnforcedLimit[];
  readonly means: Means;
  /** Lines that were dropped, and why its log takes none at present; "" when it does. */
  readonly logLoss: { readonly lines: number; readonly reason: string };
  readonly logDirectory: string | undefined;
  readonly socketPath: string;
  /** Whether its conf file differs from what the present run was started with. */
  readonly changed: boolean;
  /** Runs that ended out of memory. */
  readonly oomKilled: number;
  /** The resource that its launch waits for; "" when it does not wait. */
  readonly waiting: string;
  /** How many instances it is to have. */
  readonly size: number;
  instances(): readonly ControlledInstance[];
  /** Signals the main process of each instance; false when none runs. */
  signal(signal: number): boolean;
}

/** All daemons, and the requests that change them. A request resolves when its daemon has settled. */
export interface Engine<D extends ControlledDaemon = ControlledDaemon> {
  readonly policy: Policy;
  /** Whether it takes no more requests. */
  readonly stopping: boolean;
  owners(): readonly string[];
  /** The current account of an owner; undefined for other accounts. */
  owner(name: string): Account | undefined;
  daemons(): readonly D[];
  daemonsOf(owners: readonly string[]): readonly D[];
  rescan(owners: readonly string[]): RescanReport;
  /** The same in slices. */
  rescanning(owners: readonly string[]): Generator<undefined, RescanReport>;
  start(daemon: D): Promise<RequestResult>;
  once(daemon: D): Promise<RequestResult>;
  stop(daemon: D): Promise<RequestResult>;
  restart(daemon: D): Promise<RequestResult>;
  pause(daemon: D): Promise<RequestResult>;
  continue(daemon: D): Promise<RequestResult>;
  exit(daemon: D): Promise<RequestResult>;
  scale(daemon: D, size: number): Promise<RequestResult>;
}
