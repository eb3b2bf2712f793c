/** The signals that `kill` accepts, by name without SIG, and their numbers on Linux. */
export const SIGNALS: ReadonlyMap<string, number> = new Map(
  (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG " +
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
  )
    .split(" ")
    .map((name, index) => [name, index + 1]),
);
