/** What a run uses of the machine, in the contract's units. What this machine cannot tell is undefined. */
export interface RunUsage {
  /** Bytes. */
  readonly memory: number | undefined;
  /** Most bytes so far. */
  readonly memoryPeak: number | undefined;
  readonly processes: number | undefined;
  /** Seconds of processor time so far. */
  readonly cpu: number | undefined;
  /** Seconds for which `cpu=` has throttled its daemon, earlier runs included, since the daemon's cgroup was made. */
  readonly cpuThrottled: number | undefined;
  /** Part of the last 10 s in which one of its processes waited for memory, in per cent. */
  readonly memoryPressure: number | undefined;
  /** Processes of it that the kernel killed because of its memory limit, while the run continues. */
  readonly oomKills: number | undefined;
}
