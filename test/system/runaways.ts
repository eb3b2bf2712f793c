/** Programs of tenants that take of the machine what they can get: text for `start=`. */

/** Takes `step` MiB at a time, every `pause` seconds, up to `most`, and then waits. */
export const hog = (step: number, pause: number, most: number): string =>
  `exec perl -e '$SIG{TERM} = "DEFAULT"; my @kept; while (@kept * ${step} < ${most}) { push @kept, "x" x (${step} * 1048576); select undef, undef, undef, ${pause} } sleep 600'`;

/** Has `size` MiB and two children that share it, which only looks like three times as much. */
export const sharing = (size: number): string =>
  `exec perl -e 'my $n = ${size}; my $x = "x" x ($n * 1048576); fork for 1 .. 2; sleep 600'`;

/**
 * Its processes each try to have one more, for `seconds`, and rest for `rest` seconds when there is none to be had. Should the
 * limit under test not hold it, it holds itself: none of them has more than seven generations of forks behind it, so there
 * are 128 at most; an rlimit besides fails to be set where a lesser one is in force.
 */
export const bomb = (seconds: number, rest: number): string =>
  `ulimit -u 200 2>/dev/null || ulimit -p 200 2>/dev/null; exec perl -e 'my ($end, $forks) = (time + ${seconds}, 0); while (time < $end) { if ($forks < 7 && defined fork) { $forks++ } else { select undef, undef, undef, ${rest} } }'`;

/** Takes a whole processor. */
export const BUSY = "exec perl -e 'my $end = time + 600; 1 while time < $end'";
