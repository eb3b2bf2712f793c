/** How daemons and their instances are named. */
import type { Account } from "./policy-rules.ts";

/** Which daemon is meant, and whose it is. */
export interface DaemonKey {
  readonly owner: Account;
  readonly name: string;
}

/** One of the processes that a daemon may have at a time; the first is 1. */
export interface InstanceKey extends DaemonKey {
  readonly instance: number;
}
