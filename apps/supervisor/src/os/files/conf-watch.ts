/** Notices changes in directories of conf files and service directories, seen with their owner's authority. */
import { type FSWatcher, statSync, watch } from "node:fs";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** How long it must have been quiet: whoever writes a file in pieces is let finish. In ms. */
const QUIET = 300;
/** How long somebody who never stops writing can put it off. In ms. */
const LONGEST = 5000;
/** A look is not repeated sooner than this many times the time that it takes, so that writing costs the writer more. */
const PATIENCE = 20;

/** A directory that is listened to; another that takes its place has another inode. */
interface Ear {
  readonly inode: number;
  readonly watcher: FSWatcher;
}

/** Follows directories, or those that take their places. */
export class ConfWatch {
  readonly #ears = new Map<string, Ear>();
  #identity: FileIdentity | undefined;
  #directories: readonly string[] = [];
  #changed: () => void = () => undefined;
  #first: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;

  /**
   * Calls `changed` after changes in `directories`, from now on, and once for those that were not followed before: what
   * was made in them meanwhile has been told to nobody. A directory that is not there is not followed.
   * @throws Error that names the first that cannot be watched, and why; the others are
   */
  follow(identity: FileIdentity, directories: readonly string[], changed: () => void): void {
    const followed = new Set(this.#directories);
    const grown = followed.size > 0 && directories.some((directory) => !followed.has(directory));
    this.#identity = identity;
    this.#directories = directories;
    this.#changed = changed;
    try {
      if (this.#first === undefined) this.#listen(identity);
    } finally {
      if (grown) this.#notice();
    }
  }

  #listen(identity: FileIdentity): void {
    const wanted = new Set(this.#directories);
    for (const directory of this.#ears.keys()) if (!wanted.has(directory)) this.#deafen(directory);
    const deaf = asUser(identity, () => [...wanted].flatMap((directory) => this.#tryToListen(directory)));
    if (deaf[0] === undefined) return;
    const others = deaf.length === 1 ? "" : `, as ${deaf.length - 1} more`;
    throw new Error(`${deaf[0]}${others}`);
  }

  /** Gives why it cannot be listened to, if so. */
  #tryToListen(directory: string): string[] {
    try {
      this.#listenTo(directory);
      return [];
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return [`${directory}: cannot be watched (${code ?? message}), so changes in it are found by rescan alone`];
    }
  }

  #listenTo(directory: string): void {
    const inode = statSync(directory, { throwIfNoEntry: false })?.ino;
    if (inode !== undefined && inode === this.#ears.get(directory)?.inode) return;
    this.#deafen(directory);
    if (inode === undefined) return;
    const watcher = watch(directory, { persistent: false }, () => this.#notice());
    watcher.on("error", () => undefined);
    this.#ears.set(directory, { inode, watcher });
  }

  #deafen(directory: string): void {
    this.#ears.get(directory)?.watcher.close();
    this.#ears.delete(directory);
  }

  /** One event is enough: who makes thousands is not listened to until it may be quiet again. */
  #notice(): void {
    for (const directory of this.#ears.keys()) this.#deafen(directory);
    const now = performance.now();
    this.#first ??= now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#setBacklog(), QUIET);
  }

  /** Listens for the rest of the quiet that there must be before a look. */
  #setBacklog(): void {
    const now = performance.now();
    try {
      if (this.#identity) this.#listen(this.#identity);
    } catch {
      // A directory that cannot be watched is found by the next rescan.
    }
    const late = now >= (this.#first ?? now) + LONGEST;
    // News that is on its way here would put off even what is to be done at once, and again the next time.
    if (late && now >= this.#notBefore) this.#look();
    else this.#timer = setTimeout(() => this.#look(), Math.max(late ? 0 : QUIET, this.#notBefore - now));
  }

  #look(): void {
    this.#first = undefined;
    const begun = performance.now();
    this.#changed();
    const ended = performance.now();
    this.#notBefore = ended + PATIENCE * (ended - begun);
  }
}
