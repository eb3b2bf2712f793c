const UNITS = [
  ["w", 604_800],
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/**
 * A duration in seconds as its largest unit of w d h m s and the one below it: `3w3d`, `1h0m`, `59s`, `0s`.
 * Fractions are dropped; what is negative or no number is `0s`.
 */
export const formatDuration = (seconds: number): string => {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  const largest = UNITS.findIndex(([, size]) => whole >= size);
  const [unit, next] = largest < 0 ? [undefined, undefined] : [UNITS[largest], UNITS[largest + 1]];
  if (unit === undefined) return "0s";
  const rest = next === undefined ? "" : `${Math.floor((whole % unit[1]) / next[1])}${next[0]}`;
  return `${Math.floor(whole / unit[1])}${unit[0]}${rest}`;
};
