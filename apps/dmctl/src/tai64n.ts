/** TAI64N labels as multilog, s6-log and tai64n write them (docs/reference/logs.md#stamps). */

/** Which wall clock a label is shown in. */
export type Clock = "local" | "utc";

/** Length of `@` and the 24 hex digits of a label. */
export const LABEL_LENGTH = 25;

const LABEL = /^@([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})(?![0-9a-f])/;
/**
 * Labels count from 2^62, and ten seconds ahead of UTC's 1970: no table of leap seconds
 * (docs/reference/logs.md#stamps).
 */
const AHEAD = 10;

/** A date whose UTC text is the local one of `moment`, to the second: zones of old were no whole minutes off. */
const inItsZone = (moment: Date): Date => {
  const shifted = new Date(0);
  shifted.setUTCFullYear(moment.getFullYear(), moment.getMonth(), moment.getDate());
  shifted.setUTCHours(moment.getHours(), moment.getMinutes(), moment.getSeconds());
  return shifted;
};

/**
 * Turns the label that `line` starts with into `2026-11-21 10:20:30.123456789`; a line without a well-formed label
 * comes back as it is. Never throws.
 */
export const tai64nLocal = (line: string, clock: Clock = "local"): string => {
  const [label, high, low, nano] = LABEL.exec(line) ?? [];
  if (label === undefined || high === undefined || low === undefined || nano === undefined) return line;
  const seconds = (Number.parseInt(high, 16) - 0x4000_0000) * 2 ** 32 + Number.parseInt(low, 16) - AHEAD;
  const nanoseconds = Number.parseInt(nano, 16);
  const moment = new Date(seconds * 1000);
  const shown = clock === "utc" ? moment : inItsZone(moment);
  if (nanoseconds > 999_999_999 || Number.isNaN(shown.getTime())) return line;
  // Years of more than four digits come with a sign and zeros.
  const wall = shown.toISOString().slice(0, -5).replace("T", " ").replace(/^\+0*/, "");
  return `${wall}.${String(nanoseconds).padStart(9, "0")}${line.slice(LABEL_LENGTH)}`;
};

/** The label of a moment in ms since 1970: labels sort as their moments do. */
export const labelAt = (moment: number): string => {
  const seconds = 2n ** 62n + BigInt(AHEAD + Math.floor(moment / 1000));
  const nanoseconds = Math.floor(moment % 1000) * 1_000_000;
  return `@${seconds.toString(16).padStart(16, "0")}${nanoseconds.toString(16).padStart(8, "0")}`;
};
