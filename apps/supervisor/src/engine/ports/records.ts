/** What one supervisor leaves for the next about each instance. */
import type { InstanceKey } from "../../core/daemon-key.ts";
import type { State } from "../../core/lifecycle.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { LogTrace } from "./logs.ts";
import type { RunTrace } from "./runs.ts";

export type RecordedAccount = Pick<Account, "name" | "uid">;

/** Plain data. */
export interface InstanceRecord {
  readonly state: State;
  /** FoundFile.fingerprint of the file that its run was made of. */
  readonly fingerprint: string;
  /** Text of a conf file that defines its live run, where the present file is known to be another. */
  readonly conf?: string | undefined;
  /** Its owner and its run-as account with their uids; undefined in records of earlier releases. */
  readonly accounts?: readonly RecordedAccount[] | undefined;
  /** Whether its daemon exited by request: it is not loaded before the next rescan by request. */
  readonly exited?: boolean | undefined;
  /** How many instances `scale` set, if it did. */
  readonly scale: number | undefined;
  /** How many instances its daemon is to have. */
  readonly size: number;
  /** `candidate`: it is to replace another that still lives; `retiring`: it ends and is not started again. */
  readonly role: "active" | "candidate" | "retiring";
  readonly run: RunTrace | undefined;
  readonly log: LogTrace | undefined;
}

/** The record of one instance. */
export interface RecordSlot {
  /** Writes it soon, and before the next `flush` returns; `record` is called then. */
  write(record: () => InstanceRecord): void;
  /** Removes it. */
  remove(): void;
}

/** Problems with writing are reported and never thrown: a full disk must not stop daemons. Reading may throw errno errors. */
export interface Records {
  slot(key: InstanceKey): RecordSlot;
  /** Records of a daemon that an earlier supervisor of this boot wrote, by instance. */
  recall(key: { readonly owner: Pick<Account, "name">; readonly name: string }): ReadonlyMap<number, InstanceRecord>;
  /** Names of owners with records, and of an owner's daemons with records. */
  owners(): readonly string[];
  daemons(owner: string): readonly string[];
  /** Removes all records of a daemon that no conf file names. */
  removeAll(owner: string, name: string): void;
  /**
   * Writes all pending records now. The engine calls it before it reports the outcome of a request: the next supervisor
   * must know of it. `app` calls it before each answer of the control API, for what a client has seen must be true for the
   * next supervisor, and before a re-exec, after which nothing of this program executes.
   */
  flush(): void;
}
