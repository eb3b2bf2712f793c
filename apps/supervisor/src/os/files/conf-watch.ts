/** Watches directories of conf files and service directories, as their owner. */
import { type FSWatcher, statSync, watch } from "node:fs";
import { messageOf } from "../../core/error-message.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** Time without a change before `changed` is called, so that a file written in pieces is complete. In ms. */
const QUIET = 300;
/** Longest delay by continuous changes. In ms. */
const LONGEST = 5000;
/** Pause after a call of `changed`, as a multiple of its duration: this bounds the cost of frequent changes. */
const PATIENCE = 20;

/** A watched directory; one that replaces it has another inode. */
interface Watched {
  readonly inode: number;
  readonly watcher: FSWatcher;
}

/** Watches directories, and those that replace them. */
export class ConfWatch {
  readonly #watched = new Map<string, Watched>();
  #identity: FileIdentity | undefined;
  #directories: readonly string[] = [];
  #changed: () => void = () => undefined;
  #first: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;

  /**
   * Calls `changed` after changes in `directories` from now on, and once where a directory is new here: files made in it
   * before caused no event. A missing directory is not watched.
   * @throws Error that names the first directory that cannot be watched, and why; the others are watched
   */
  follow(identity: FileIdentity, directories: readonly string[], changed: () => void): void {
    const followed = new Set(this.#directories);
    const grown = followed.size > 0 && directories.some((directory) => !followed.has(directory));
    this.#identity = identity;
    this.#directories = directories;
    this.#changed = changed;
    try {
      if (this.#first === undefined) this.#watchAll(identity);
    } finally {
      if (grown) this.#notice();
    }
  }

  /** Ends all watches. */
  end(): void {
    clearTimeout(this.#timer);
    this.#directories = [];
    this.#changed = () => undefined;
    for (const directory of [...this.#watched.keys()]) this.#unwatch(directory);
  }

  #watchAll(identity: FileIdentity): void {
    const wanted = new Set(this.#directories);
    for (const directory of this.#watched.keys()) if (!wanted.has(directory)) this.#unwatch(directory);
    const failures = asUser(identity, () => [...wanted].flatMap((directory) => this.#tryToWatch(directory)));
    if (failures[0] === undefined) return;
    const others = failures.length === 1 ? "" : `, as ${failures.length - 1} more`;
    throw new Error(`${failures[0]}${others}`);
  }

  /** Why a directory cannot be watched, if so. */
  #tryToWatch(directory: string): string[] {
    try {
      this.#watchOne(directory);
      return [];
    } catch (error) {
      const why = codeOf(error) || messageOf(error);
      return [`${directory}: cannot be watched (${why}), so only a rescan finds changes in it`];
    }
  }

  #watchOne(directory: string): void {
    const inode = statSync(directory, { throwIfNoEntry: false })?.ino;
    if (inode !== undefined && inode === this.#watched.get(directory)?.inode) return;
    this.#unwatch(directory);
    if (inode === undefined) return;
    const watcher = watch(directory, { persistent: false }, () => this.#notice());
    watcher.on("error", () => undefined);
    this.#watched.set(directory, { inode, watcher });
  }

  #unwatch(directory: string): void {
    this.#watched.get(directory)?.watcher.close();
    this.#watched.delete(directory);
  }

  /** After one event watching pauses: thousands of them cost nothing. */
  #notice(): void {
    for (const directory of this.#watched.keys()) this.#unwatch(directory);
    const now = performance.now();
    this.#first ??= now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#watchAgain(), QUIET);
  }

  /** Watches for the rest of the time without a change. */
  #watchAgain(): void {
    const now = performance.now();
    try {
      if (this.#identity) this.#watchAll(this.#identity);
    } catch {
      // The next rescan finds changes in a directory that cannot be watched.
    }
    const late = now >= (this.#first ?? now) + LONGEST;
    // When it is late, not by a timer that further events would restart.
    if (late && now >= this.#notBefore) this.#look();
    else this.#timer = setTimeout(() => this.#look(), Math.max(late ? 0 : QUIET, this.#notBefore - now));
  }

  #look(): void {
    this.#first = undefined;
    const startedAt = performance.now();
    this.#changed();
    const ended = performance.now();
    this.#notBefore = ended + PATIENCE * (ended - startedAt);
  }
}
