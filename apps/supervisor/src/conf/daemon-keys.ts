import { writeBytes } from "../core/allowance.ts";
import { DEFAULTS, type Definition, type Listen, type Ready } from "../core/definition.ts";
import { hostname } from "../core/hostname.ts";
import { LONGEST_PATTERN, MOST_PATTERNS } from "../core/log-selection.ts";
import { type Limit, type LimitField, leastOf, RESOURCES } from "../core/resource-limit.ts";
import { APPS, indexName, sitePath } from "../core/site.ts";
import { CORES, MEMORY, readCores, readMemory, readProcesses } from "./allowances.ts";
import { AMOUNT_WORDS, readLimit, writeLimit } from "./amounts.ts";
import { trimmed } from "./lines.ts";
import {
  LARGEST_LOG_FILE,
  LARGEST_LOG_TOTAL,
  readLogSize,
  readPatterns,
  SMALLEST_LOG_FILE,
  writtenLogSize,
  writtenPatterns,
} from "./log-values.ts";

/** A key of a daemon's file, as man pages, completion and `explain` need to know it. */
export interface DaemonKey {
  /** As it is written before the `=`. */
  readonly key: string;
  /** What its value must be, in words that can follow "expected". */
  readonly expected: string;
  /** The default, as written in a file or in words; undefined where the key must be given. */
  readonly default: string | undefined;
  /** What it is for, in one line. */
  readonly doc: string;
  /** Another name of it. */
  readonly alias?: string;
}

/** The parts of a definition that a key sets; `environment` is filled by `export` lines. */
export type Field = Exclude<keyof Definition, "environment" | "service">;

/** A definition under construction. */
export type Draft = { -readonly [F in keyof Definition]: Definition[F] };

interface FieldKey<F extends Field> extends DaemonKey {
  /** The value that a text stands for; undefined where it is not as `expected` says. */
  readonly read: (text: string) => NonNullable<Definition[F]> | undefined;
  /** The inverse of `read`, where a value is no text, truth, number or duration. */
  readonly write?: (value: NonNullable<Definition[F]>) => string;
}

/** Longest duration that can be set, in milliseconds: below what a timer can hold. */
const LONGEST = 24 * 3_600_000;
/** The same of `drain`: all that time it is looked again and again whether the process still has a client. */
const LONGEST_DRAIN = 10 * 60_000;
const MILLISECONDS = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
const TRUTH = new Map(["yes", "true", "1", "on"].map((word) => [word, true]));
for (const word of ["no", "false", "0", "off"]) TRUTH.set(word, false);

const TRUE_OR_FALSE = "yes or no (or true, false, on, off, 1, 0)";
const LISTENS: readonly Listen[] = ["none", "fastcgi", "systemd", "http", "path"];
const MOST_INSTANCES = 64;

const DURATION = "a number of seconds, or one with ms, s, m or h after it, of at most 24h";
/** What an account must be, in words that can follow "expected". */
export const ACCOUNT = "the name of an account, which begins with a letter or _ and is no number";

/** Sites of one daemon at most. */
const MOST_HOSTS = 32;
const MOST_INDEXES = 8;
/** Largest `max-body`, in bytes: bodies of all tenants' sites wait in one place. */
const LARGEST_BODY = 1 << 30;
const BYTES = new Map([
  ["K", 1 << 10],
  ["M", 1 << 20],
  ["G", 1 << 30],
]);

/** An account's name as `user=` takes it: never a uid, and nothing that getpwnam and a shell could read differently. */
const ACCOUNT_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/;

const PATH = 'an absolute path, or one that begins with "~/"';
const readPath = (text: string): string | undefined =>
  text.startsWith("/") || text.startsWith("~/") ? text : undefined;

interface LimitKey extends DaemonKey {
  readonly read: (text: string) => Limit | undefined;
  readonly write: (limit: Limit) => string;
}

/** The key of a limit: `limit-nofile` for limitNofile. */
const limitKey = (field: LimitField): LimitKey => {
  const { unit, of } = RESOURCES[field];
  const least = leastOf(field);
  const bound = least === 0 ? "" : `, of at least ${unit === "bytes" ? writeBytes(least) : least}`;
  return {
    key: field.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`),
    expected: `${AMOUNT_WORDS[unit]}, or unlimited, or SOFT:HARD of these with SOFT not above HARD${bound}`,
    default: "the supervisor's own",
    doc: `${of}. One amount is both limits, SOFT:HARD sets each.`,
    read: (text) => readLimit(text, unit, least),
    write: writeLimit,
    ...(field === "limitNofile" && { alias: "open-files" }),
  };
};

/** Every key but `export`, by the field that it sets; the order is that of the documentation. */
const FIELD_KEYS: { readonly [F in Field]: FieldKey<F> } = {
  start: {
    key: "start",
    expected: "a command: one line of shell",
    default: undefined,
    doc: "The command, one line of shell. Everything after the = belongs to it, up to a # that follows white space outside quotes.",
    read: (text) => text || undefined,
  },
  dir: {
    key: "dir",
    expected: 'an absolute path, or one that begins with "~/"',
    default: DEFAULTS.dir,
    doc: "Working directory. ~/ is the owner's home.",
    read: (text) => (text.startsWith("/") || text.startsWith("~/") ? text : undefined),
  },
  user: {
    key: "user",
    expected: ACCOUNT,
    default: "the owner",
    doc: "Account to run as. [runs_as] of the policy must grant it.",
    read: readAccount,
  },
  output: {
    key: "output",
    expected: "log or discard",
    default: DEFAULTS.output,
    doc: "Where standard output and standard error go: to a rotated log, or nowhere.",
    read: (text) => (text === "log" || text === "discard" ? text : undefined),
  },
  autostart: {
    key: "autostart",
    expected: TRUE_OR_FALSE,
    default: "yes",
    doc: "Whether it is started as soon as its file is found.",
    read: (text) => TRUTH.get(text),
  },
  shell: {
    key: "shell",
    expected: "the absolute path of a shell",
    default: DEFAULTS.shell,
    doc: "The program that reads start; it is called with -c.",
    read: (text) => (text.startsWith("/") ? text : undefined),
  },
  listen: {
    key: "listen",
    expected: "none, fastcgi, systemd, http or path",
    default: DEFAULTS.listen,
    doc: "How it listens: fastcgi on descriptor 0, systemd or http on descriptor 3, path on $DM_SOCKET, which it makes itself. The socket is published to the web server.",
    read: (text) => LISTENS.find((listen) => listen === text),
  },
  instances: {
    key: "instances",
    expected: "a whole number from 1 to 64",
    default: "1",
    doc: "How many processes share the socket.",
    read: (text) => (/^[1-9]\d?$/.test(text) && Number(text) <= MOST_INSTANCES ? Number(text) : undefined),
  },
  rolling: {
    key: "rolling",
    expected: TRUE_OR_FALSE,
    default: "yes",
    doc: "Whether a restart of a daemon that listens begins the new process before it ends the old.",
    read: (text) => TRUTH.get(text),
  },
  ready: {
    key: "ready",
    expected: "accept, notify or fd:N with N from 3 to 9",
    default: "accept",
    doc: "When a new process is ready: accept, it has taken a connection or ready-after has passed; fd:N, it writes a line to descriptor N; notify, it sends READY=1 to $NOTIFY_SOCKET.",
    read: (text) => (/^(accept|notify|fd:[3-9])$/.test(text) ? (text as Ready) : undefined),
  },
  readyAfter: {
    key: "ready-after",
    expected: DURATION,
    default: "1s",
    doc: "With ready=accept: how long a new process runs until it counts as ready without a connection.",
    read: readDuration,
  },
  readyTimeout: {
    key: "ready-timeout",
    expected: DURATION,
    default: "30s",
    doc: "With ready=fd:N or notify: how long a start may take until it has failed.",
    read: readDuration,
  },
  drain: {
    key: "drain",
    expected: "a number of seconds, or one with ms, s or m after it, of at most 10m",
    default: "10s",
    doc: "How long a process that is replaced may take to finish its requests before it gets TERM, at most 10m.",
    read: (text) => readDuration(text, LONGEST_DRAIN),
  },
  ondemand: {
    key: "ondemand",
    expected: TRUE_OR_FALSE,
    default: "no",
    doc: "Whether it is started by the first connection, and stopped after idle-timeout without one.",
    read: (text) => TRUTH.get(text),
  },
  idleTimeout: {
    key: "idle-timeout",
    expected: DURATION,
    default: "60s",
    doc: "With ondemand=yes: without a connection for so long it is put to sleep.",
    read: readDuration,
  },
  stopTimeout: {
    key: "stop-timeout",
    expected: DURATION,
    default: "10s",
    doc: "How long a stop waits after TERM before it sends KILL.",
    read: readDuration,
  },
  healthyAfter: {
    key: "healthy-after",
    expected: DURATION,
    default: "10s",
    doc: "A run that lasted this long has not failed, however it ends.",
    read: readDuration,
  },
  maxRetries: {
    key: "max-retries",
    expected: "a whole number from 0 to 1000000",
    default: "no limit",
    doc: "How often in a row a failed run is followed by another try before the daemon is given up as failed.",
    read: (text) => (/^\d{1,7}$/.test(text) && Number(text) <= 1_000_000 ? Number(text) : undefined),
  },

  nice: {
    key: "nice",
    expected: "a whole number from 0 to 19 (from -20 for root's own daemons)",
    default: "the supervisor's own",
    doc: "How willingly it leaves the processor to others: 19 the most. Below 0 only for root's own daemons.",
    read: (text) => (/^(-20|-?1?\d)$/.test(text) ? Number(text) : undefined),
    write: String,
  },
  umask: {
    key: "umask",
    expected: "an octal number from 0 to 777",
    default: "022",
    doc: "Bits that are taken off the mode of every file that it makes.",
    read: (text) => (/^0?[0-7]{1,3}$/.test(text) ? Number.parseInt(text, 8) : undefined),
    write: (bits) => bits.toString(8).padStart(3, "0"),
  },
  limitData: limitKey("limitData"),
  limitStack: limitKey("limitStack"),
  limitLock: limitKey("limitLock"),
  limitAs: limitKey("limitAs"),
  limitNofile: limitKey("limitNofile"),
  limitNproc: limitKey("limitNproc"),
  limitFsize: limitKey("limitFsize"),
  limitCore: limitKey("limitCore"),
  limitRss: limitKey("limitRss"),
  limitCpu: limitKey("limitCpu"),
  envDir: {
    key: "env-dir",
    expected: PATH,
    default: "none",
    doc: "Directory whose files are variables, as envdir reads it: the name is the file's, the value its first line.",
    read: readPath,
  },
  envFile: {
    key: "env-file",
    expected: PATH,
    default: "none",
    doc: "File of lines NAME=value that are put into the environment.",
    read: readPath,
  },
  chroot: {
    key: "chroot",
    expected: PATH,
    default: "none",
    doc: "Directory that is / to it; only root and the owner may be able to write to it and to what is above it.",
    read: readPath,
  },
  lock: {
    key: "lock",
    expected: PATH,
    default: "none",
    doc: "File that it holds locked as long as it lives; it waits, as starting, while another holds that.",
    read: readPath,
  },

  host: {
    key: "host",
    expected: `at most ${MOST_HOSTS} host names such as blog.example.org, separated by commas`,
    default: "none",
    doc: "The sites that it answers for on the web server; [hosts] of the policy must grant each.",
    read: (text) => readList(text, MOST_HOSTS, hostname),
  },
  docroot: {
    key: "docroot",
    expected:
      'an absolute path, or one that begins with "~/", of at most 512 characters without "..", "$" and control characters',
    default: "none",
    doc: "Directory of the sites' files, which the web server sends by itself.",
    read: (text) => (text.length <= 512 && sitePath(text.replace(/^~(?=\/|$)/, "/")) ? text : undefined),
  },
  index: {
    key: "index",
    expected: `at most ${MOST_INDEXES} plain file names, separated by commas`,
    default: DEFAULTS.index.join(", "),
    doc: "Files that stand for a directory. With app=php the first .php among them also answers for what is no file.",
    read: (text) => readList(text, MOST_INDEXES, indexName),
  },
  app: {
    key: "app",
    expected: "php, fastcgi, http or static",
    default: "by listen and docroot",
    doc: "What answers beside the files of docroot.",
    read: (text) => APPS.find((app) => app === text),
  },
  maxBody: {
    key: "max-body",
    expected: "a number of bytes, or one with K, M or G after it, of at most 1G",
    default: "64M",
    doc: "The largest body that a request may have.",
    read: readSize,
  },

  memory: {
    key: "memory",
    expected: MEMORY,
    default: "no limit",
    doc: "Memory that all of its processes may have together; one that passes it is ended and begun again.",
    read: readMemory,
    write: writeBytes,
  },
  memoryHigh: {
    key: "memory-high",
    expected: MEMORY,
    default: "no limit",
    doc: "Memory from which on it is slowed down and made to give some back.",
    read: readMemory,
    write: writeBytes,
  },
  processes: {
    key: "processes",
    expected: "a whole number from 1 to 4194304",
    default: "no limit",
    doc: "Processes and threads that it may have; it cannot make more.",
    read: readProcesses,
    write: String,
  },
  cpu: {
    key: "cpu",
    expected: CORES,
    default: "no limit",
    doc: "Processors that it may keep busy: 0.5 is half of one.",
    read: readCores,
    write: String,
  },
  ioWeight: {
    key: "io-weight",
    expected: "a whole number from 1 to 10000",
    default: "that of others, 100",
    doc: "Its share of busy disks, beside that of others.",
    read: (text) => (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= 10_000 ? Number(text) : undefined),
    write: String,
  },
  logSize: {
    key: "log-size",
    expected: "a number of bytes, or one with K, M or G after it, from 4096 to 255M",
    default: "1M",
    doc: "Size at which the log's current file is rotated.",
    read: (text) => readLogSize(text, SMALLEST_LOG_FILE, LARGEST_LOG_FILE),
    write: writtenLogSize,
  },
  logFiles: {
    key: "log-files",
    expected: "a whole number from 1 to 10000",
    default: "10",
    doc: "How many rotated files of the log are kept, besides the current one.",
    read: (text) => (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= 10_000 ? Number(text) : undefined),
    write: String,
  },
  logTotal: {
    key: "log-total",
    expected: "a number of bytes, or one with K, M or G after it, from 4096 to 1024G",
    default: "no limit",
    doc: "Size that the log's rotated files may have together; the oldest give way.",
    read: (text) => readLogSize(text, SMALLEST_LOG_FILE, LARGEST_LOG_TOTAL),
    write: writtenLogSize,
  },
  logCompress: {
    key: "log-compress",
    expected: "yes or no (or true, false, on, off, 1, 0)",
    default: "no",
    doc: "Whether rotated files of the log are compressed by gzip; dmctl log reads them all the same.",
    read: (text) => TRUTH.get(text),
  },
  logSelect: {
    key: "log-select",
    expected: `at most ${MOST_PATTERNS} patterns such as "-* +*fatal:*", each of at most ${LONGEST_PATTERN} characters, with + or - before it, quoted where it has blanks, and with an ASCII character after a *`,
    default: "every line",
    doc: "Which lines are logged: each line is, until a - pattern that matches it says no, or a later + pattern yes again.",
    read: readPatterns,
    write: writtenPatterns,
  },
};

/** `export NAME = value`, which may be repeated for different names. */
export const EXPORT_KEY: DaemonKey = {
  key: "export",
  expected: '"export NAME = value", with a NAME of letters, digits and _ that does not begin with a digit',
  default: "no line: only HOME, LOGNAME, USER, SHELL and PATH are set",
  doc: "export NAME = value puts a variable into the environment. The value is literal, quotes included.",
};

/** Every key of a daemon's file: the table by which parseDaemonFile reads. */
export const DAEMON_KEYS: readonly DaemonKey[] = [...Object.values(FIELD_KEYS), EXPORT_KEY];

const FIELDS = new Map(
  Object.entries(FIELD_KEYS).flatMap(([field, { key, alias = key }]) =>
    [key, alias].map((name) => [name, field as Field] as const),
  ),
);

/** The field that a key sets; undefined for an unknown key and for `export`. */
export const fieldOf = (key: string): Field | undefined => FIELDS.get(key);

/**
 * Puts the value that `text` stands for into the draft. Returns what was expected instead where it is not of the right
 * form, and undefined when all is well.
 */
export function setField<F extends Field>(draft: Draft, field: F, text: string): string | undefined {
  const entry: FieldKey<F> = FIELD_KEYS[field];
  const value = entry.read(text);
  if (value === undefined) return entry.expected;
  draft[field] = value;
  return undefined;
}

/** The account that `user=` names; undefined where it is of no name's form, or a number. */
export function readAccount(text: string): string | undefined {
  return ACCOUNT_NAME.test(text) ? text : undefined;
}

/** A field's value as the text that setField takes for it; undefined where the value is none that is written its own way. */
export function writeField<F extends Field>(field: F, value: NonNullable<Definition[F]>): string | undefined {
  const entry: FieldKey<F> = FIELD_KEYS[field];
  return entry.write?.(value);
}

/** A duration in milliseconds, rounded to whole ones. */
function readDuration(text: string, longest = LONGEST): number | undefined {
  const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?)[ \t]*(ms|s|m|h)?$/.exec(text) ?? [];
  const duration = Math.round(Number(amount) * (MILLISECONDS.get(unit) ?? Number.NaN));
  return duration <= longest ? duration : undefined;
}

/** A number of bytes. */
function readSize(text: string): number | undefined {
  const [, amount, unit = ""] = /^(\d{1,10})([KMG]?)$/.exec(text) ?? [];
  const size = Number(amount) * (BYTES.get(unit) ?? 1);
  return size >= 1 && size <= LARGEST_BODY ? size : undefined;
}

/** A list with commas, every entry of which `read` understands; what stands there twice counts once. */
function readList<T>(text: string, most: number, read: (entry: string) => T | undefined): readonly T[] | undefined {
  const entries = text.split(",");
  if (entries.length > most) return undefined;
  const values = entries.map((entry) => read(trimmed(entry)));
  return values.every((value) => value !== undefined) ? [...new Set(values)] : undefined;
}
