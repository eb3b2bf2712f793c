/** The keys of conf files: DAEMON_KEYS is the table by which they are read, written and documented. */

import { DEFAULTS, type Definition, type Ready } from "../core/definition.ts";
import { hostname } from "../core/hostname.ts";
import { describeImage, imageName } from "../core/image.ts";
import { LIMIT_QUANTITIES } from "../core/resource-limits.ts";
import { type Limit, RESOURCES, type RlimitField } from "../core/rlimits.ts";
import { APPS, indexName } from "../core/site.ts";
import {
  count,
  duration,
  GIB,
  KIB,
  MIB,
  MINUTE,
  type Quantity,
  size,
  writeDuration,
  writeSize,
} from "../core/units.ts";
import {
  ACCOUNT,
  COMMAND,
  FLAG,
  type Form,
  limit,
  list,
  NICE,
  oneOf,
  PATH,
  PATTERNS,
  SHELL,
  SITE_PATH,
  UMASK,
} from "./forms.ts";

/** A key of a conf file, as man pages, completion and `explain` need to know it. */
interface ConfKey {
  /** As it is written before the `=`. */
  readonly key: string;
  /** Form and bounds of its value, in words that can follow "expected". */
  readonly expected: string;
  /** Set where the value is a number, or a limit made of numbers. */
  readonly kind?: Quantity["kind"];
  /** The default, as a file can write it or in words; undefined where the key is required. */
  readonly default: string | undefined;
  /** Its effect, in one line. */
  readonly doc: string;
  /** Another name of it. */
  readonly alias?: string;
}

/** The parts of a definition that a key sets; `environment` is filled by `export` lines. */
export type Field = Exclude<keyof Definition, "environment" | "service">;

/** A definition under construction. */
export type DefinitionDraft = { -readonly [F in keyof Definition]: Definition[F] };

type FieldKey<F extends Field> = ConfKey & Form<NonNullable<Definition[F]>>;

const DURATION = duration();
/** Hosts of one daemon at most. */
export const MOST_HOSTS = 32;
/** Names of `index` at most. */
export const MOST_INDEXES = 8;
const NO_LIMIT = "no limit";

const limitKey = (field: RlimitField): ConfKey & Form<Limit> => ({
  key: field.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`),
  ...limit(field),
  kind: RESOURCES[field].quantity.kind,
  default: "the supervisor's own",
  doc: `${RESOURCES[field].of}. One amount sets both limits, SOFT:HARD each.`,
  ...(field === "limitNofile" && { alias: "open-files" }),
});

/** Every key but `export`, by the field that it sets; the order is that of the documentation. */
const FIELD_KEYS: { readonly [F in Field]: FieldKey<F> } = {
  start: {
    key: "start",
    ...COMMAND,
    default: undefined,
    doc: "The command, one line of shell. Everything after the = belongs to it, up to a # that follows white space outside quotes.",
  },
  dir: { key: "dir", ...PATH, default: DEFAULTS.dir, doc: "Working directory. ~ is the owner's home." },
  user: {
    key: "user",
    ...ACCOUNT,
    default: "the owner",
    doc: "Account to run as. [runs_as] of the policy must grant it.",
  },
  image: {
    key: "image",
    expected: "the name of an image such as php:8.4-fpm or ghcr.io/david/app@sha256:...",
    read: imageName,
    write: describeImage,
    default: "none",
    doc: "Image of the container that the daemon runs in. [images] of the policy must grant it. Without start, the image's own command is executed.",
  },
  network: {
    key: "network",
    ...oneOf("none", "outbound"),
    default: DEFAULTS.network,
    doc: "With image: whether the container can connect to other machines. [images] of the policy must grant outbound.",
  },
  output: {
    key: "output",
    ...oneOf<Definition["output"]>("log", "discard"),
    default: DEFAULTS.output,
    doc: "Where standard output and standard error go: to a rotated log, or nowhere.",
  },
  autostart: {
    key: "autostart",
    ...FLAG,
    default: "yes",
    doc: "Whether the daemon is started as soon as its conf file is found.",
  },
  shell: {
    key: "shell",
    ...SHELL,
    default: DEFAULTS.shell,
    doc: "The program that reads start; it is called with -c.",
  },
  listen: {
    key: "listen",
    ...oneOf("none", "fastcgi", "systemd", "http", "path"),
    default: DEFAULTS.listen,
    doc: "Where the daemon finds its listening socket: fastcgi on descriptor 0, systemd or http on descriptor 3; with path it binds $DM_SOCKET itself. The socket is published to the web server.",
  },
  instances: {
    key: "instances",
    ...count({ least: 1, most: 64 }),
    default: "1",
    doc: "How many processes share the socket.",
  },
  rolling: {
    key: "rolling",
    ...FLAG,
    default: "yes",
    doc: "Whether a restart of a daemon that listens starts the new process before it terminates the old.",
  },
  ready: {
    key: "ready",
    expected: "accept, notify or fd:N with N from 3 to 9",
    read: (text) => (/^(accept|notify|fd:[3-9])$/.test(text) ? (text as Ready) : undefined),
    write: String,
    default: "accept",
    doc: "When a new process is ready: accept, it has accepted a connection or ready-after has passed; fd:N, it writes a line to descriptor N; notify, it sends READY=1 to $NOTIFY_SOCKET.",
  },
  readyAfter: {
    key: "ready-after",
    ...DURATION,
    default: writeDuration(DEFAULTS.readyAfter),
    doc: "With ready=accept: time after which a new process is ready without a connection.",
  },
  readyTimeout: {
    key: "ready-timeout",
    ...DURATION,
    default: writeDuration(DEFAULTS.readyTimeout),
    doc: "With ready=fd:N or notify: time after which a start that is not ready has failed.",
  },
  drain: {
    key: "drain",
    // The process is probed for clients during this time, so it is bounded.
    ...duration({ most: 10 * MINUTE }),
    default: writeDuration(DEFAULTS.drain),
    doc: "How long a process that is replaced may take to finish its requests before it gets TERM.",
  },
  ondemand: {
    key: "ondemand",
    ...FLAG,
    default: "no",
    doc: "Whether the first connection starts the daemon, and idle-timeout without one stops it.",
  },
  idleTimeout: {
    key: "idle-timeout",
    ...DURATION,
    default: writeDuration(DEFAULTS.idleTimeout),
    doc: "With ondemand=yes: time without a connection after which the daemon is put to sleep.",
  },
  stopTimeout: {
    key: "stop-timeout",
    ...DURATION,
    default: writeDuration(DEFAULTS.stopTimeout),
    doc: "Time between TERM and KILL of a stop.",
  },
  healthyAfter: {
    key: "healthy-after",
    ...DURATION,
    default: writeDuration(DEFAULTS.healthyAfter),
    doc: "A run that lasted this long has not failed, however it ends.",
  },
  maxRetries: {
    key: "max-retries",
    ...count({ most: 1_000_000 }),
    default: NO_LIMIT,
    doc: "How many failed runs in a row are started again before the daemon is failed.",
  },

  nice: {
    key: "nice",
    ...NICE,
    default: "the supervisor's own",
    doc: "Nice value: 19 leaves the most processor time to others. Below 0 only for root's own daemons.",
  },
  umask: {
    key: "umask",
    ...UMASK,
    default: "022",
    doc: "Permission bits that files made by the daemon do not get.",
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
    ...PATH,
    default: "none",
    doc: "Directory whose files are variables, as envdir reads it: the name is the file's, the value its first line.",
  },
  envFile: {
    key: "env-file",
    ...PATH,
    default: "none",
    doc: "File of lines NAME=value that are put into the environment.",
  },
  chroot: {
    key: "chroot",
    ...PATH,
    default: "none",
    doc: "Directory that is / to the daemon; only root and the owner may have write permission for it and for every directory above it.",
  },
  lock: {
    key: "lock",
    ...PATH,
    default: "none",
    doc: "File that the daemon keeps locked while it runs; while another process has the lock, the daemon waits in the state starting.",
  },

  host: {
    key: "host",
    ...list(MOST_HOSTS, "host names such as blog.example.org", hostname),
    default: "none",
    doc: "Hosts of the daemon's sites; [hosts] of the policy must grant each.",
  },
  docroot: {
    key: "docroot",
    ...SITE_PATH,
    default: "none",
    doc: "Directory of the sites' files, which the web server sends by itself.",
  },
  index: {
    key: "index",
    ...list(MOST_INDEXES, "plain file names", indexName),
    default: DEFAULTS.index.join(", "),
    doc: "Directory index. With app=php the first .php among these files is also the handler for requests that match no file.",
  },
  app: {
    key: "app",
    ...oneOf(...APPS),
    default: "by listen and docroot",
    doc: "Handler for requests that match no file of docroot.",
  },
  maxBody: {
    key: "max-body",
    // Bodies of all tenants' sites are buffered on one file system.
    ...size({ least: 1, most: GIB }),
    default: writeSize(DEFAULTS.maxBody),
    doc: "Largest body of a request.",
  },

  memory: {
    key: "memory",
    ...LIMIT_QUANTITIES.memory,
    default: NO_LIMIT,
    doc: "Memory of all of the daemon's processes together; a run that exceeds it is killed and started again.",
  },
  memoryHigh: {
    key: "memory-high",
    ...LIMIT_QUANTITIES.memoryHigh,
    default: NO_LIMIT,
    doc: "Memory above which the kernel slows the daemon down and reclaims memory from it.",
  },
  processes: {
    key: "processes",
    ...LIMIT_QUANTITIES.processes,
    default: NO_LIMIT,
    doc: "Most processes and threads; the kernel creates no more.",
  },
  cpu: {
    key: "cpu",
    ...LIMIT_QUANTITIES.cpu,
    default: NO_LIMIT,
    doc: "Processors that the daemon may keep busy: 0.5 is half of one.",
  },
  ioWeight: {
    key: "io-weight",
    ...LIMIT_QUANTITIES.ioWeight,
    default: "100",
    doc: "Share of busy disks, in relation to other daemons.",
  },
  logSize: {
    key: "log-size",
    // s6-log counts to 268435455 bytes.
    ...size({ least: 4 * KIB, most: 255 * MIB }),
    default: writeSize(DEFAULTS.logSize),
    doc: "Size at which the log's current file is rotated.",
  },
  logFiles: {
    key: "log-files",
    ...count({ least: 1, most: 10_000 }),
    default: String(DEFAULTS.logFiles),
    doc: "How many rotated files of the log are kept, besides the current one.",
  },
  logTotal: {
    key: "log-total",
    ...size({ least: 4 * KIB, most: KIB * GIB }),
    default: NO_LIMIT,
    doc: "Size of the log's rotated files together; the oldest are removed.",
  },
  logCompress: {
    key: "log-compress",
    ...FLAG,
    default: "no",
    doc: "Whether rotated files of the log are compressed by gzip; dmctl log reads them all the same.",
  },
  logSelect: {
    key: "log-select",
    ...PATTERNS,
    default: "every line",
    doc: "Which lines are logged: a line is, unless a - pattern matches it and no later + pattern does.",
  },
};

/** `export NAME = value`, which may be repeated for different names. */
export const EXPORT_KEY: ConfKey = {
  key: "export",
  expected: '"export NAME = value", with a NAME of letters, digits and _ that does not begin with a digit',
  default: "no line: only HOME, LOGNAME, USER, SHELL and PATH are set",
  doc: "export NAME = value puts a variable into the environment. The value is literal, quotes included.",
};

/** Every key of a conf file: the table by which parseDaemonFile reads. */
export const DAEMON_KEYS: readonly ConfKey[] = [...Object.values(FIELD_KEYS), EXPORT_KEY];

const FIELDS = new Map(
  Object.entries(FIELD_KEYS).flatMap(([field, { key, alias = key }]) =>
    [key, alias].map((name) => [name, field as Field] as const),
  ),
);

/** The field that a key sets; undefined for an unknown key and for `export`. */
export const fieldOf = (key: string): Field | undefined => FIELDS.get(key);

/** Puts the value of a key into the draft. Returns the expected form where the text does not have it. */
export function setField<F extends Field>(draft: DefinitionDraft, field: F, text: string): string | undefined {
  const entry: FieldKey<F> = FIELD_KEYS[field];
  const value = entry.read(text);
  if (value === undefined) return entry.expected;
  draft[field] = value;
  return undefined;
}

/** The value of a field as a text that setField takes. */
export function writeField<F extends Field>(field: F, value: NonNullable<Definition[F]>): string {
  const entry: FieldKey<F> = FIELD_KEYS[field];
  return entry.write(value);
}
