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
  #changed: () => void = () => undefined;
  #first: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;

  /** Calls `changed` after changes in `directory`, from now on. A directory that is not there is not followed. */
  follow(identity: FileIdentity, directory: string, changed: () => void): void {
    this.#changed = changed;
    asUser(identity, () => {
      const inode = lstatSync(directory, { throwIfNoEntry: false })?.ino;
      if (inode === this.#inode && this.#watcher) return;
      this.#watcher?.close();
      this.#watcher = undefined;
      this.#inode = inode;
      if (inode === undefined) return;
      this.#watcher = watch(directory, { persistent: false }, () => this.#notice());
      this.#watcher.on("error", () => undefined);
    });
  }

  #notice(): void {
    const now = performance.now();
    this.#first ??= now;
    const due = Math.max(Math.min(now + QUIET, this.#first + LONGEST), this.#notBefore);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), due - now);
  }

  #look(): void {
    this.#first = undefined;
    const begun = performance.now();
    this.#changed();
    const ended = performance.now();
    this.#notBefore = ended + PATIENCE * (ended - begun);
  }
}
