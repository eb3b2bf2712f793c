/** Processes of daemons, as all ports name them. */

/** A process that cannot be confused with a later one of the same pid, while the machine and pid namespace last. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Ticks after boot at which it started (proc(5): starttime). */
  readonly startTime: number;
}

/** Processes whose memory is sampled where no cgroup limits it. */
export interface Sampled {
  /**
   * Bytes that no other process shares; undefined for one that has ended or cannot be measured now.
   * @param doubtful from this size on it is measured exactly, in bytes
   */
  size(doubtful: number): number | undefined;
}

/** A tenant's program that belongs to a daemon and to none of its runs: its log/run, or its finish. */
export interface HelperProcess extends Sampled {
  /** Kills it with all that it started, and reports the reason. */
  end(reason: string): void;
}
