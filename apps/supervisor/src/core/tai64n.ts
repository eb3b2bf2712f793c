/**
 * TAI64N labels, by which log lines and rotated log files are stamped: `@` and 24 hex digits, seconds of TAI since 1970 plus
 * 2^62, then nanoseconds. Labels sort as their moments do.
 */

/** Which wall clock a label is shown in. */
export type Clock = "local" | "utc";

/**
 * Who wrote a label. s6-log counts leap seconds: it is ahead of Unix time by 10 s and the leap seconds since 1972, 37 s now.
 * daemontools' multilog counts none: it is always ahead by 10 s.
 */
export type Stamper = "s6-log" | "multilog";

/** Length of `@` and the 24 hex digits. */
export const LABEL_LENGTH = 25;

const LABEL = /^@([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})(?![0-9a-f])/;
const ORIGIN = 2n ** 62n;
/** Seconds of TAI at the start of 1970. */
const AHEAD = 10;

/** A leap second came just before each of these months. IERS announces new ones half a year ahead. */
const MONTHS_AFTER_LEAP_SECONDS =
  "1972-07 1973-01 1974-01 1975-01 1976-01 1977-01 1978-01 1979-01 1980-01 1981-07 1982-07 1983-07 1985-07 1988-01 " +
  "1990-01 1991-01 1992-07 1993-07 1994-07 1996-01 1997-07 1999-01 2006-01 2009-01 2012-07 2015-07 2017-01";

interface LeapSecond {
  /** Unix time of the second after it. */
  readonly unix: number;
  /** TAI of the leap second. */
  readonly tai: number;
}

/** Latest first: most labels are of now. */
const LEAP_SECONDS: readonly LeapSecond[] = MONTHS_AFTER_LEAP_SECONDS.split(" ")
  .map((month, before) => {
    const unix = Date.parse(`${month}-01T00:00:00Z`) / 1000;
    return { unix, tai: unix + AHEAD + before };
  })
  .reverse();

/** Seconds of TAI of a second of Unix time. */
const taiOf = (unix: number, stamper: Stamper): number => {
  const latest = stamper === "s6-log" ? LEAP_SECONDS.find((leap) => leap.unix <= unix) : undefined;
  return unix + (latest === undefined ? AHEAD : latest.tai - latest.unix + 1);
};

/** Unix time of a second of TAI; a leap second is the second before it, and `leap`. */
const unixOf = (tai: number, stamper: Stamper): { readonly unix: number; readonly leap: boolean } => {
  const latest = stamper === "s6-log" ? LEAP_SECONDS.find((leap) => leap.tai <= tai) : undefined;
  if (latest === undefined) return { unix: tai - AHEAD, leap: false };
  return { unix: tai - latest.tai - 1 + latest.unix, leap: tai === latest.tai };
};

/** A date whose UTC text is the local one of `moment`, to the second: zones of old were no whole minutes off. */
const inItsZone = (moment: Date): Date => {
  const shifted = new Date(0);
  shifted.setUTCFullYear(moment.getFullYear(), moment.getMonth(), moment.getDate());
  shifted.setUTCHours(moment.getHours(), moment.getMinutes(), moment.getSeconds());
  return shifted;
};

/**
 * Puts `2026-11-21 10:20:30.123456789` in the place of the label that `line` starts with; a leap second ends in `:60`. A line
 * without a well-formed label is returned as it is. Never throws.
 */
export const tai64nLocal = (line: string, clock: Clock = "local", stamper: Stamper = "s6-log"): string => {
  const [label, high, low, nano] = LABEL.exec(line) ?? [];
  if (label === undefined || high === undefined || low === undefined || nano === undefined) return line;
  const tai = (Number.parseInt(high, 16) - 0x4000_0000) * 2 ** 32 + Number.parseInt(low, 16);
  const nanoseconds = Number.parseInt(nano, 16);
  const { unix, leap } = unixOf(tai, stamper);
  const moment = new Date(unix * 1000);
  const shown = clock === "utc" ? moment : inItsZone(moment);
  if (nanoseconds > 999_999_999 || Number.isNaN(shown.getTime())) return line;
  // Years of more than four digits come with a sign and zeros.
  const wall = shown.toISOString().slice(0, -5).replace("T", " ").replace(/^\+0*/, "");
  const seconds = leap ? wall.replace(/\d\d$/, "60") : wall;
  return `${seconds}.${String(nanoseconds).padStart(9, "0")}${line.slice(LABEL_LENGTH)}`;
};

/** The label that `line` starts with; undefined where there is no valid one. */
export const labelOf = (line: string): string | undefined => LABEL.exec(line)?.[0];

/** The label of a moment, in ms since 1970. */
export const labelAt = (moment: number, stamper: Stamper = "s6-log"): string => {
  const unix = Math.floor(moment / 1000);
  const seconds = ORIGIN + BigInt(taiOf(unix, stamper));
  const nanoseconds = Math.floor((moment - unix * 1000) * 1_000_000);
  return `@${seconds.toString(16).padStart(16, "0")}${nanoseconds.toString(16).padStart(8, "0")}`;
};
