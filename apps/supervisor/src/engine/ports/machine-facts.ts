/** What the engine decides by and what stays the same while the supervisor executes. */
import type { Means } from "../../core/enforcement.ts";

export interface MachineFacts {
  /** What enforces limits on this machine. */
  readonly means: Means;
  /** Whether the supervisor may act as other accounts; if not, its own is the only tenant. */
  readonly privileged: boolean;
  /** Directory of the programs that scripts of service directories call by daemontools' names. */
  readonly tools: string;
}
