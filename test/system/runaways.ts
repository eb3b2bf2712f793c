/** Programs that use as much memory, processes or CPU time as they can get: text for `start=`. */

/** Allocates `step` MiB every `pause` seconds up to `most` MiB, and then sleeps. */
export const hog = (step: number, pause: number, most: number): string =>
  `exec perl -e '$SIG{TERM} = "DEFAULT"; my @kept; while (@kept * ${step} < ${most}) { push @kept, "x" x (${step} * 1048576); select undef, undef, undef, ${pause} } sleep 600'`;

/** Has `size` MiB and two children that share it, so that the sum of their sizes is three times as much. */
export const sharing = (size: number): string =>
  `exec perl -e 'my $n = ${size}; my $x = "x" x ($n * 1048576); fork for 1 .. 2; sleep 600'`;

/**
 * A fork bomb: each process forks for `seconds`, and pauses for `rest` seconds when fork(2) fails. It is bounded even if the
 * limit under test fails: each process forks at most seven times, so there are at most 128; the rlimit is a second bound,
 * which cannot be set where a lower one is in force.
 */
export const bomb = (seconds: number, rest: number): string =>
  `ulimit -u 200 2>/dev/null || ulimit -p 200 2>/dev/null; exec perl -e 'my ($end, $forks) = (time + ${seconds}, 0); while (time < $end) { if ($forks < 7 && defined fork) { $forks++ } else { select undef, undef, undef, ${rest} } }'`;

/** Uses a whole CPU. */
export const BUSY = "exec perl -e 'my $end = time + 600; 1 while time < $end'";
