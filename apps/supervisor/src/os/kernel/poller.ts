/** Waits for many raw descriptors with one poll(2) in another thread (docs/explanation/architecture.md#descriptors). */
import { readSync, writeSync } from "node:fs";
import { eventfd } from "./descriptors.ts";
import { pollReadable } from "./poll.ts";

const ONE = Buffer.from(BigUint64Array.of(1n).buffer);

/** Calls back when a descriptor becomes readable. No thread waits while no descriptor is registered. */
export class Poller {
  readonly #callbacks = new Map<number, () => void>();
  readonly #interrupt = eventfd();
  #polling = false;

  /** Calls `ready` once, when `fd` is readable. The caller keeps the descriptor, and closes it only after that or `forget`. */
  once(fd: number, ready: () => void): void {
    this.#callbacks.set(fd, ready);
    if (this.#polling) writeSync(this.#interrupt, ONE);
    else this.#poll();
  }

  /** Stops waiting for a descriptor; the caller may close it then. */
  forget(fd: number): void {
    if (!this.#callbacks.delete(fd)) return;
    if (this.#polling) writeSync(this.#interrupt, ONE);
  }

  #poll(): void {
    if (this.#callbacks.size === 0) return;
    const interrupt = this.#interrupt;
    this.#polling = true;
    pollReadable([interrupt, ...this.#callbacks.keys()], (readable) => {
      this.#polling = false;
      for (const fd of readable) {
        if (fd === interrupt) {
          readSync(interrupt, Buffer.alloc(8));
          continue;
        }
        const ready = this.#callbacks.get(fd);
        this.#callbacks.delete(fd);
        ready?.();
      }
      if (!this.#polling) this.#poll();
    });
  }
}
