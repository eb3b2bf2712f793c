/** What a rescan of conf directories found: ids of daemons, and problems as `path:line: text`. */
export interface RescanReport {
  /** Daemons that are new. */
  readonly found: string[];
  readonly started: string[];
  readonly changed: string[];
  readonly removed: string[];
  readonly problems: string[];
  /** Ignored parts of conf files. */
  readonly warnings: string[];
}
