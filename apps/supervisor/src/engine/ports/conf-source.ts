/** Conf files and service directories of owners. */
import type { Definition } from "../../core/definition.ts";
import type { Account } from "../../core/policy-rules.ts";

/** A conf file, or a service directory, as read: what it defines, or why it defines nothing. */
export interface FoundFile {
  readonly name: string;
  readonly kind: "conf" | "service";
  /** Of the conf file, or of the service directory's `run`. */
  readonly path: string;
  readonly definition: Definition | undefined;
  /** Whether it could be read at all. */
  readonly readable: boolean;
  /** Each `path:line: text`. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Equal for equal contents. */
  readonly fingerprint: string;
}

/** The directories on the path to an owner's files, writable only by the owner and root; the last one contains the files. */
export interface ConfDirectories {
  readonly chain: readonly string[];
  readonly serviceChain: readonly string[];
}

/** What an owner's directories of conf files and of service directories hold. */
export interface FoundFiles {
  readonly files: readonly FoundFile[];
  /** Names of files that exist and were not read, because there are too many. */
  readonly skipped: readonly string[];
  /** What could not be read, each `path: reason`. */
  readonly problems: readonly string[];
  /** Whether the directories could be listed: if not, a file that is missing here may still exist. */
  readonly complete: boolean;
}

/** Reads what owners wrote, with the owner's uid and groups. Reading may throw errno errors. */
export interface ConfSource {
  /**
   * Reads the conf files and service directories of an owner. Files that anyone but the owner and root may write
   * are skipped. Missing directories of conf files below the owner's home are created. If a conf file and a service
   * directory have the same name, the conf file takes precedence.
   * @param first names that are read before any other where there are too many
   */
  readAll(owner: Account, directories: ConfDirectories, first: ReadonlySet<string>): FoundFiles;
  /** Reads the conf file or service directory of this name; undefined when there is neither such a file nor such a directory. */
  readOne(owner: Account, directories: ConfDirectories, name: string): FoundFile | undefined;
  /**
   * Calls `changed` when changes have stopped for a moment. Replaces an earlier watch of this owner.
   * @throws Error that begins with the path that cannot be watched
   */
  watch(owner: Account, directories: ConfDirectories, changed: () => void): void;
  /** Ends the watch of an owner who left the policy, and drops what was read. */
  forget(owner: string): void;
}
