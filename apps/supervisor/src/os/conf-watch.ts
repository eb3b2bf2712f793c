/** Notices changes in a directory of conf files, seen with its owner's authority. */
import { type FSWatcher, lstatSync, watch } from "node:fs";
import type { FileIdentity } from "./libc.ts";
import { asUser } from "./tenant.ts";

/** How long it must have been quiet: whoever writes a file in pieces is let finish. In ms. */
const QUIET = 300;
/** How long somebody who never stops writing can put it off. In ms. */
const LONGEST = 5000;
/** A look is not repeated sooner than this many times the time that it takes, so that writing costs the writer more. */
const PATIENCE = 20;

/** Follows one directory, or the one that takes its place. */
export class ConfWatch {
  #watcher: FSWatcher | undefined;
  #inode: number | undefined;
  #identity: FileIdentity | undefined;
  #directory = "";
  #changed: () => void = () => undefined;
  #first: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;

  /** Calls `changed` after changes in `directory`, from now on. A directory that is not there is not followed. */
  follow(identity: FileIdentity, directory: string, changed: () => void): void {
    this.#identity = identity;
    this.#directory = directory;
    this.#changed = changed;
    if (this.#first === undefined) this.#listen(identity);
  }

  #listen(identity: FileIdentity): void {
    asUser(identity, () => {
      const inode = lstatSync(this.#directory, { throwIfNoEntry: false })?.ino;
      if (inode === this.#inode && this.#watcher) return;
      this.#watcher?.close();
      this.#watcher = undefined;
      this.#inode = inode;
      if (inode === undefined) return;
      this.#watcher = watch(this.#directory, { persistent: false }, () => this.#notice());
      this.#watcher.on("error", () => undefined);
    });
  }

  /** One event is enough: who makes thousands is not listened to until it may be quiet again. */
  #notice(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    const now = performance.now();
    this.#first ??= now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listenAgain(), QUIET);
  }

  /** Listens for the rest of the quiet that there must be before a look. */
  #listenAgain(): void {
    const now = performance.now();
    try {
      if (this.#identity) this.#listen(this.#identity);
    } catch {
      // A directory that cannot be watched is found by the next rescan.
    }
    const late = now >= (this.#first ?? now) + LONGEST;
    const wait = late ? 0 : QUIET;
    this.#timer = setTimeout(() => this.#look(), Math.max(wait, this.#notBefore - now));
  }

  #look(): void {
    this.#first = undefined;
    const begun = performance.now();
    this.#changed();
    const ended = performance.now();
    this.#notBefore = ended + PATIENCE * (ended - begun);
  }
}
