/** Facts about the machine that do not change while the supervisor runs. */
import type { Means } from "../../core/enforcement.ts";

export interface MachineFacts {
  /** What enforces limits on this machine. */
  readonly means: Means;
  /** Whether the supervisor may act as other accounts; if not, it runs daemons as its own account only. */
  readonly privileged: boolean;
  /** Why daemons cannot run in containers here, in words; undefined where they can. */
  readonly containerObjection: string | undefined;
  /** Directory of the programs that scripts of service directories call by daemontools' names. */
  readonly tools: string;
}
