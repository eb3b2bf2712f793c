/** A daemon as web/ sees it. */
import type { DaemonKey } from "../core/daemon-key.ts";
import type { State } from "../core/lifecycle.ts";
import type { PublicationStatus } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";

/** The part of a daemon that sites depend on. */
export interface SiteDaemon {
  readonly id: string;
  readonly key: DaemonKey;
  /** The serving terms; undefined where there are none, as for a conf file that was never valid. */
  readonly serving: Terms | undefined;
  readonly state: Pick<State, "block">;
  /** Written by the publisher. */
  hosts: readonly PublicationStatus[];
}
