/**
 * One wait for many raw descriptors: a single poll(2) on a thread of its own
 * (docs/explanation/architecture.md#descriptors).
 */
import { readSync, writeSync } from "node:fs";
import { eventfd, pollReadable } from "./libc.ts";

const ONE = Buffer.from(BigUint64Array.of(1n).buffer);

/** Calls back when a descriptor becomes readable. No thread waits while there is nothing to wait for. */
export class Poller {
  readonly #callbacks = new Map<number, () => void>();
  readonly #interrupt = eventfd();
  #polling = false;

  /** Calls `ready` once, when `fd` is readable. The descriptor stays the caller's, to be closed after that. */
  once(fd: number, ready: () => void): void {
    this.#callbacks.set(fd, ready);
    if (this.#polling) writeSync(this.#interrupt, ONE);
    else this.#poll();
  }

  /** Gives up waiting for a descriptor, which may be closed then. */
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
