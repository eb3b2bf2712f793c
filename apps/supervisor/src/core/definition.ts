/** What a daemon's file says, as values. Made by conf/, judged by policy.ts, turned into a launch plan by launch.ts. */

import type { LogPattern } from "./log-selection.ts";

/** Names of daemons and, as path segments, of owners (DESIGN: Behaviour everywhere). */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** How a daemon's process listens. */
export type Listen = "none" | "fastcgi";

/** A daemon's file, complete with its defaults. Durations are in milliseconds. */
export interface Definition {
  /** Working directory: absolute, or below the owner's home where it begins with `~/`. */
  readonly dir: string;
  /** Account to run as; undefined is the owner. */
  readonly user: string | undefined;
  /** One line for the shell. */
  readonly start: string;
  readonly output: "log" | "discard";
  readonly autostart: boolean;
  /** Program that reads `start`; absolute path. */
  readonly shell: string;
  /** What `export` lines say, in their order; a later one of the same name wins. */
  readonly environment: ReadonlyMap<string, string>;
  readonly listen: Listen;
  /** From TERM to KILL. */
  readonly stopTimeout: number;
  /** A run that lasted this long has not failed, however it ends. */
  readonly healthyAfter: number;
  /** Failed runs in a row after which it is given up; undefined is never. */
  readonly maxRetries: number | undefined;

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
}

/** Defaults of a daemon's file (spec/daemon-manager.md: A daemon's file; Lifecycle). */
export const DEFAULTS: Omit<Definition, "start"> = {
  dir: "/",
  user: undefined,
  output: "discard",
  autostart: true,
  shell: "/bin/sh",
  environment: new Map(),
  listen: "none",
  stopTimeout: 10_000,
  healthyAfter: 10_000,
  maxRetries: undefined,

  logSize: 1 << 20,
  logFiles: 10,
  logTotal: undefined,
  logCompress: false,
  logSelect: undefined,
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

/** Writes a problem as `path:line: text` (`path: text` for the file as a whole). */
export const describeProblem = (path: string, problem: Problem): string =>
  problem.line > 0 ? `${path}:${problem.line}: ${problem.text}` : `${path}: ${problem.text}`;
