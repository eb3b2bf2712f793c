/** What a daemon's file says, as values. Made by conf/, judged by policy.ts, turned into a launch plan by launch.ts. */
import { type Allowance, BOUNDLESS } from "./allowance.ts";
import type { Hostname } from "./hostname.ts";
import type { LogPattern } from "./log-selection.ts";
import { type Limits, NO_LIMITS } from "./resource-limit.ts";
import { type App, type IndexName, indexName } from "./site.ts";

/** Names of daemons and, as path segments, of owners (man/daemon.conf.5.md#description). */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * How a daemon's processes listen. The supervisor holds the socket of `fastcgi` (descriptor 0), `systemd` and `http`
 * (descriptor 3); with `path` each process binds one itself.
 */
export type Listen = "none" | "fastcgi" | "systemd" | "http" | "path";

/** How a process tells that it is ready: by taking a connection (or time), a line on a descriptor, or sd_notify. */
export type Ready = "accept" | "notify" | `fd:${number}`;

/** What a service directory has besides its `run` (man/daemon.conf.5.md#service-directories). */
export interface Service {
  /** Its absolute path, as it is outside of any jail. */
  readonly directory: string;
  /** Whether `finish` is run after each run. */
  readonly finish: boolean;
  /** ServiceText.contents: what no key says and a run is made of all the same. */
  readonly contents: string;
}

/** A daemon's file, complete with its defaults. Durations are in milliseconds. */
export interface Definition extends Surroundings, Limits, Allowance {
  /** Working directory: absolute, or below the owner's home where it begins with `~/`. */
  readonly dir: string;
  /** Account to run as; undefined is the owner. */
  readonly user: string | undefined;
  /** One line for the shell. */
  readonly start: string;
  /** `log/run`: to that program of its service directory. */
  readonly output: "log" | "discard" | "log/run";
  readonly autostart: boolean;
  /** Program that reads `start`; absolute path. */
  readonly shell: string;
  /** What `export` lines say, in their order; a later one of the same name wins. */
  readonly environment: ReadonlyMap<string, string>;
  readonly listen: Listen;
  /** Processes that share the socket; at least 1. */
  readonly instances: number;
  /** Whether a restart begins the new process before it ends the old, where it listens. */
  readonly rolling: boolean;
  readonly ready: Ready;
  /** With `ready=accept`: from the launch until a process counts as ready that has taken no connection. */
  readonly readyAfter: number;
  /** With a descriptor or sd_notify: how long it may take to tell. */
  readonly readyTimeout: number;
  /** How long a process that is replaced, or no longer needed, may take over its last requests. */
  readonly drain: number;
  /** Whether it runs only while somebody wants something of it. */
  readonly ondemand: boolean;
  /** With `ondemand`: without a connection for so long it is put to sleep. */
  readonly idleTimeout: number;
  /** From TERM to KILL. */
  readonly stopTimeout: number;
  /** A run that lasted this long has not failed, however it ends. */
  readonly healthyAfter: number;
  /** Failed runs in a row after which it is given up; undefined is never. */
  readonly maxRetries: number | undefined;
  /** Undefined where it is made of a conf file. */
  readonly service: Service | undefined;

  /** Bytes after which a log's current file is rotated. */
  readonly logSize: number;
  /** Rotated files of a log that are kept. */
  readonly logFiles: number;
  /** Bytes that a log's rotated files may have together; undefined is no limit. */
  readonly logTotal: number | undefined;
  /** Whether rotated files are compressed. */
  readonly logCompress: boolean;
  /** Which lines are kept, by patterns in their order (log-selection.ts); undefined is every line. */
  readonly logSelect: readonly LogPattern[] | undefined;

  /** The sites that it answers for; [hosts] of the policy must grant them. */
  readonly host: readonly Hostname[];
  /** Where Nginx finds a site's files: as `dir`. */
  readonly docroot: string | undefined;
  /** Files that stand for a directory, the first that there is. */
  readonly index: readonly IndexName[];
  /** undefined is what appOf makes of it. */
  readonly app: App | undefined;
  /** Largest body of a request, in bytes. */
  readonly maxBody: number;
}

/**
 * What its process is born into (docs/reference/daemontools.md#conf-keys). Paths are absolute, or below the
 * owner's home where they begin with `~/`.
 */
export interface Surroundings {
  /** -20 (first to run) to 19; undefined is the supervisor's own. */
  readonly nice: number | undefined;
  /** Bits that are taken off the mode of what it makes. */
  readonly umask: number;
  /** Directory with a file for each variable. */
  readonly envDir: string | undefined;
  /** File with lines NAME=value. */
  readonly envFile: string | undefined;
  /** Directory that is to be its `/`. */
  readonly chroot: string | undefined;
  /** File that it holds locked as long as it lives. */
  readonly lock: string | undefined;
}

/** Defaults of a daemon's file (docs/reference/daemon-keys.md). */
export const DEFAULTS: Omit<Definition, "start"> = {
  dir: "/",
  user: undefined,
  output: "discard",
  autostart: true,
  shell: "/bin/sh",
  environment: new Map(),
  listen: "none",
  instances: 1,
  rolling: true,
  ready: "accept",
  readyAfter: 1000,
  readyTimeout: 30_000,
  drain: 10_000,
  ondemand: false,
  idleTimeout: 60_000,
  stopTimeout: 10_000,
  healthyAfter: 10_000,
  maxRetries: undefined,
  service: undefined,
  nice: undefined,
  umask: 0o022,
  envDir: undefined,
  envFile: undefined,
  chroot: undefined,
  lock: undefined,
  ...NO_LIMITS,
  ...BOUNDLESS,
  host: [],
  docroot: undefined,
  index: ["index.php", "index.html"].flatMap((name) => indexName(name) ?? []),
  app: undefined,
  maxBody: 64 << 20,

  logSize: 1 << 20,
  logFiles: 10,
  logTotal: undefined,
  logCompress: false,
  logSelect: undefined,
};

/** What answers for a daemon's sites: what its file says, else what its way to listen and its docroot suggest. */
export const appOf = ({ app, listen, docroot }: Pick<Definition, "app" | "docroot"> & { listen: string }): App => {
  if (app !== undefined) return app;
  if (listen === "none") return "static";
  if (listen === "http") return "http";
  return docroot === undefined ? "fastcgi" : "php";
};

/** Something wrong at a place in a file. */
export interface Problem {
  /** 1 is the first line; 0 is the file as a whole. */
  readonly line: number;
  /** What is wrong and what was expected; no path, no line number. */
  readonly text: string;
}

/** What a reader of text makes of it: a value where nothing was wrong, and what it has to say either way. */
export interface Parsed<T> {
  readonly value: T | undefined;
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** What a service directory holds, as far as it says what its daemon is (man/daemon.conf.5.md#service-directories). */
export interface ServiceText {
  /** Absolute path of the directory, by which it was found. */
  readonly directory: string;
  /** Its absolute path without links. */
  readonly resolved: string;
  /** Text of its `conf`, where it has one. */
  readonly conf: string | undefined;
  /** Text of its `env/USER`, where it has one that counts: root's scripts change the account themselves. */
  readonly user: string | undefined;
  /** Whether there is a `down`. */
  readonly down: boolean;
  /** Whether there is a `log/run`. */
  readonly logger: boolean;
  /** Whether there is a `finish`. */
  readonly finish: boolean;
  /** Equal for equal contents of all that a run is made of besides `conf`: its programs, `env/USER`, `down`. */
  readonly contents: string;
}

/** A problem and the file of the directory that has it. */
export interface ServiceProblem extends Problem {
  readonly file: "conf" | "env/USER";
}

/** As Parsed, for a directory of several files. */
export interface ParsedService {
  readonly value: Definition | undefined;
  readonly errors: readonly ServiceProblem[];
  readonly warnings: readonly ServiceProblem[];
}

/** Writes a problem as `path:line: text` (`path: text` for the file as a whole). */
export const describeProblem = (path: string, problem: Problem): string =>
  problem.line > 0 ? `${path}:${problem.line}: ${problem.text}` : `${path}: ${problem.text}`;

/** Whether the supervisor holds the socket that such a daemon listens on. */
export const isHeld = (listen: Listen): boolean => listen !== "none" && listen !== "path";
