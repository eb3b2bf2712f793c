/** A daemon's conf file as values. conf/ makes it, the policy admits it, launch/ turns it into a launch plan. */

import type { Hostname } from "./hostname.ts";
import type { ImageName } from "./image.ts";
import type { LogPattern } from "./log-selection.ts";
import { type ResourceLimits, UNLIMITED } from "./resource-limits.ts";
import { NO_RLIMITS, type Rlimits } from "./rlimits.ts";
import { type App, type IndexName, indexName } from "./site.ts";

/** Names of daemons and, as path segments, of owners (man/daemon.conf.5.md#description). */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * How a daemon's processes listen. The supervisor holds the socket of `fastcgi` (descriptor 0), `systemd` and `http`
 * (descriptor 3); with `path` each process binds a socket itself.
 */
export type Listen = "none" | "fastcgi" | "systemd" | "http" | "path";

/** How readiness is detected: by a connection that it accepts (or time), a line on a descriptor, or sd_notify(3). */
export type Ready = "accept" | "notify" | `fd:${number}`;

/** The contents of a service directory besides its `run` (man/daemon.conf.5.md#service-directories). */
interface ServiceDirectory {
  /** Its absolute path outside of any jail. */
  readonly directory: string;
  /** Whether `finish` runs after each run. */
  readonly finish: boolean;
  /** ServiceText.contents: the files that a run depends on besides its keys. */
  readonly contents: string;
}

/** A daemon's conf file, complete with defaults. Durations are in milliseconds. */
export interface Definition extends ExecutionEnvironment, Rlimits, ResourceLimits {
  /** Working directory: absolute, or below the owner's home where it begins with `~/`. */
  readonly dir: string;
  /** Run-as account; undefined is the owner. */
  readonly user: string | undefined;
  /** One line for the shell. With `image` it may be "": the image's own command. */
  readonly start: string;
  /** Image of the container that it runs in; undefined: it is a process of this machine. */
  readonly image: ImageName | undefined;
  /** Of a container: none but its own loopback, or connections to other machines. */
  readonly network: "none" | "outbound";
  /** `log/run`: that program of its service directory logs it. */
  readonly output: "log" | "discard" | "log/run";
  readonly autostart: boolean;
  /** Program that reads `start`; absolute path. */
  readonly shell: string;
  /** `export` lines in their order; the last of a name wins. */
  readonly environment: ReadonlyMap<string, string>;
  readonly listen: Listen;
  /** Processes that share the socket; at least 1. */
  readonly instances: number;
  /** Whether a restart starts the new process before it ends the old, where it listens. */
  readonly rolling: boolean;
  readonly ready: Ready;
  /** With `ready=accept`: from the launch until a process without a connection counts as ready. */
  readonly readyAfter: number;
  /** With a descriptor or sd_notify: how long readiness may take. */
  readonly readyTimeout: number;
  /** How long a process that is replaced or no longer needed may take to finish its requests. */
  readonly drain: number;
  /** Whether it runs only while it has clients. */
  readonly ondemand: boolean;
  /** With `ondemand`: it goes to sleep after this time without a connection. */
  readonly idleTimeout: number;
  /** From TERM to KILL. */
  readonly stopTimeout: number;
  /** A run that lasted this long has not failed, however it ended. */
  readonly healthyAfter: number;
  /** Failed runs in a row after which it is not started again; undefined is never. */
  readonly maxRetries: number | undefined;
  /** undefined where a conf file defines it. */
  readonly service: ServiceDirectory | undefined;

  /** Size at which a log's current file is rotated, in bytes. */
  readonly logSize: number;
  /** Number of rotated files that are kept. */
  readonly logFiles: number;
  /** Size of all rotated files together, in bytes; undefined is no limit. */
  readonly logTotal: number | undefined;
  /** Whether rotated files are compressed. */
  readonly logCompress: boolean;
  /** Which lines are logged, by patterns in their order (log-selection.ts); undefined is every line. */
  readonly logSelect: readonly LogPattern[] | undefined;

  /** Hosts of its sites; [hosts] of the policy must grant them. */
  readonly host: readonly Hostname[];
  /** Directory of a site's files; written as `dir`. */
  readonly docroot: string | undefined;
  /** Directory index: the first of these files that exists. */
  readonly index: readonly IndexName[];
  /** undefined: see appOf. */
  readonly app: App | undefined;
  /** Largest request body, in bytes. */
  readonly maxBody: number;
}

/**
 * The execution environment of its process (docs/reference/daemontools.md#conf-keys). Paths are absolute, or below the
 * owner's home where they begin with `~/`.
 */
interface ExecutionEnvironment {
  /** -20 (highest priority) to 19; undefined is the supervisor's own. */
  readonly nice: number | undefined;
  /** File mode creation mask. */
  readonly umask: number;
  /** Directory with a file for each variable. */
  readonly envDir: string | undefined;
  /** File with lines NAME=value. */
  readonly envFile: string | undefined;
  /** Directory that becomes its `/`. */
  readonly chroot: string | undefined;
  /** File that it keeps locked while it lives. */
  readonly lock: string | undefined;
}

/** Defaults of a daemon's file (docs/reference/daemon-keys.md). */
export const DEFAULTS: Omit<Definition, "start"> = {
  dir: "/",
  user: undefined,
  image: undefined,
  network: "none",
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
  ...NO_RLIMITS,
  ...UNLIMITED,
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

/** The app of a daemon's sites: from its file, else derived from `listen` and `docroot`. */
export const appOf = ({ app, listen, docroot }: Pick<Definition, "app" | "docroot"> & { listen: string }): App => {
  if (app !== undefined) return app;
  if (listen === "none") return "static";
  if (listen === "http") return "http";
  return docroot === undefined ? "fastcgi" : "php";
};

/** A problem at a place in a file. */
export interface Problem {
  /** 1 is the first line; 0 is the file as a whole. */
  readonly line: number;
  /** The problem and what was expected, without path and line number. */
  readonly text: string;
}

/** The result of parsing: a value unless there are errors, and the errors and warnings. */
export interface Parsed<T> {
  readonly value: T | undefined;
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** The contents of a service directory that define its daemon (man/daemon.conf.5.md#service-directories). */
export interface ServiceText {
  /** Absolute path of the directory as found. */
  readonly directory: string;
  /** Its absolute path with links resolved. */
  readonly resolved: string;
  /** Text of its `conf`, if it has one. */
  readonly conf: string | undefined;
  /** Text of its `env/USER`, if it counts: root's scripts change the account themselves. */
  readonly user: string | undefined;
  /** Whether there is a `down`. */
  readonly down: boolean;
  /** Whether there is a `log/run`. */
  readonly logger: boolean;
  /** Whether there is a `finish`. */
  readonly finish: boolean;
  /** Equal for equal contents besides `conf`: programs, `env/USER`, `down`. */
  readonly contents: string;
}

/** A problem and the file that has it. */
export interface ServiceProblem extends Problem {
  readonly file: "conf" | "env/USER";
}

/** Parsed, for a directory of several files. */
export interface ParsedService {
  readonly value: Definition | undefined;
  readonly errors: readonly ServiceProblem[];
  readonly warnings: readonly ServiceProblem[];
}

/** Writes a problem as `path:line: text` (`path: text` for the file as a whole). */
export const describeProblem = (path: string, problem: Problem): string =>
  problem.line > 0 ? `${path}:${problem.line}: ${problem.text}` : `${path}: ${problem.text}`;

/** Whether the supervisor holds the socket of such a daemon. */
export const isHeld = (listen: Listen): boolean => listen !== "none" && listen !== "path";
