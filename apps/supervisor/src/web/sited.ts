/** A daemon as web/ sees it. */
import type { DaemonKey } from "../core/daemon-key.ts";
import type { State } from "../core/lifecycle.ts";
import type { HostStanding } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";

export interface Sited {
  readonly id: string;
  readonly key: DaemonKey;
  /** The terms that clients are served by; undefined where there are none, as for a file that was wrong from the start. */
  readonly serving: Terms | undefined;
  readonly state: Pick<State, "block">;
  /** Written by the publisher. */
  hosts: readonly HostStanding[];
}
