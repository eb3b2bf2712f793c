/**
 * What the API needs besides the engine, by what needs it: logs and conf files, touched with their owner's authority, and
 * the policy file.
 */
import type { Health, Setting } from "@dmhost/contract";
import type { DaemonKey } from "../core/daemon-key.ts";
import type { Definition } from "../core/definition.ts";
import type { Caller } from "./connection.ts";
import type { ReadLog } from "./log-tail.ts";

/** Logs of daemons. */
export interface LogAccess {
  readonly readLog: ReadLog;
}

/** The input of an outcome besides the daemon. */
export interface OutcomeSurroundings extends LogAccess {
  /** The supervisor's clock, in ms. */
  now(): number;
}

/** The input of an explanation besides the daemon. */
export interface ExplanationSurroundings extends OutcomeSurroundings, OwnHealth, Pick<PolicyFile, "policyFile"> {
  /** The value in effect of every key of a conf file. */
  effectiveSettings(definition: Definition): readonly Setting[];
}

/** The supervisor itself. */
interface OwnHealth {
  health(): Health;
}

/** A conf file as found: its text, or why it cannot be used; neither when there is none. */
export interface FoundText {
  readonly path: string;
  readonly text: string | undefined;
  readonly problem: string | undefined;
}

/** Conf files of tenants. */
export interface ConfFileAccess {
  readConf(key: DaemonKey): FoundText;
  /** Problems of a text, each `path:line: text`. */
  checkConf(
    key: DaemonKey,
    path: string,
    text: string,
  ): { readonly errors: readonly string[]; readonly warnings: readonly string[] };
  /**
   * Creates or replaces the file.
   * @throws errno errors; EEXIST when a file to be created is there
   */
  writeConf(key: DaemonKey, text: string, what: "make" | "replace"): void;
  /** Template of a new file for the daemon of this id. */
  newConf(id: string): string;
}

/** The policy file. */
export interface PolicyFile {
  /** Its path. */
  readonly policyFile: string;
  /**
   * Reloads the policy file and the accounts; resolves with problems as `path:line: text`.
   * @throws Error when the file has errors: the policy in force stays
   */
  reloadPolicy(): Promise<string[]>;
  /** Uid that may reload the policy besides root: the only tenant's, where there is but one. */
  readonly policyOwner: number;
}

/** An image that a container was made of, or that a conf file names. */
export interface UsedImage {
  /** Its complete name. */
  readonly image: string;
  /** Digest or Id at its first use; undefined before that. */
  readonly recorded?: string | undefined;
  /** The same of what this machine has now; undefined where it has none. */
  readonly present?: string | undefined;
  readonly moved: boolean;
  /** `owner/name` of daemons. */
  readonly usedBy: readonly string[];
}

/** Images of containers. Both reject with an Error whose message says why, and what to do. */
export interface ContainerImages {
  images(): Promise<readonly UsedImage[]>;
  /** From now on the name means what this machine has now. @param image its complete name */
  acceptImage(image: string): Promise<void>;
}

/** Work that takes long with thousands of daemons. */
export interface Progress {
  /** Resolves when the daemons of these owners have been read, without owners all daemons. */
  known(owners: readonly string[] | undefined): Promise<void>;
  /** Performs slices of work, and answers other requests between them. */
  inTurns<T>(slices: Generator<undefined, T>): Promise<T>;
}

/** Called by the server for answers and errors. */
export interface AnswerListener {
  /** Called before each answer is sent. */
  answered(): void;
  /** Called for an error that the caller sees as `internal`. */
  onInternalError(error: unknown, caller: Caller): void;
}
