/** Every option that a command may have, by its long name. */

/** An option, for help, completion, man page and parser. */
interface OptionShape {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** How help names the value of an option that takes one. */
  readonly value?: string;
  /** One line, in the imperative. */
  readonly summary: string;
  /** Further text of the man page, in Markdown. */
  readonly about?: string;
}

export const OPTIONS = {
  json: {
    type: "boolean",
    summary: "print JSON, errors included",
    about: "The answer goes to standard output. See ERRORS for what goes to standard error.",
  },
  long: {
    type: "boolean",
    short: "l",
    summary: "show the reason of every state",
    about: "Show also processes, limits, use and the addresses of sites.",
  },
  lines: {
    type: "string",
    short: "n",
    value: "N",
    summary: "begin with the last N lines",
    about: "*N* is a whole number, also with a unit as in `1K` (daemon.conf(5), SIZES AND DURATIONS).",
  },
  follow: { type: "boolean", short: "f", summary: "wait for new lines and show them" },
  raw: {
    type: "boolean",
    summary: "copy the log byte for byte",
    about: "No stamp is converted, and no control character is escaped.",
  },
  utc: { type: "boolean", summary: "show times in UTC" },
  multilog: {
    type: "boolean",
    summary: "read the labels of multilog, which counts no leap seconds",
    about:
      "Labels of daemontools' multilog are always 10 seconds ahead of UTC. Labels of s6-log, which writes the logs of " +
      "dmhost, are ahead by the leap seconds since 1972 as well, 37 seconds since 2017.",
  },
  tai64n: { type: "boolean", summary: "show stamps as they are in the log" },
  all: { type: "boolean", summary: "begin with the oldest rotated file" },
  since: {
    type: "string",
    value: "TIME",
    summary: "begin at a time, or that long ago",
    about:
      "*TIME* is a duration before now, as in `1h30m` (daemon.conf(5), SIZES AND DURATIONS), or a date or time of ISO " +
      "8601, as in `2026-11-21T10:00`, local unless it ends in `Z` or an offset.",
  },
  grep: {
    type: "string",
    value: "REGEX",
    summary: "show only lines that match",
    about: "The regular expression (JavaScript's) is matched by dmctl against the text of a line without its stamp.",
  },
  policy: {
    type: "boolean",
    summary: "ask what the policy allows",
    about: "Three words follow in place of *ID*: *CALLER* *VERB* *OWNER*/*NAME*.",
  },
  help: { type: "boolean", short: "h", summary: "explain dmctl or the command" },
  version: { type: "boolean", short: "V", summary: "print the version of dmctl" },
} as const satisfies Record<string, OptionShape>;

export type OptionName = keyof typeof OPTIONS;

export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/** An option by its name, without the literal types of the table. */
export const optionShape = (name: OptionName): OptionShape => OPTIONS[name];
