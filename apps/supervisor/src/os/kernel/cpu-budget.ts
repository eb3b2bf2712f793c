/** The clocks of a CPU budget, in ms. */
export interface CpuClock {
  /** Never goes back. */
  now(): number;
  /** Processor time that this thread has used. */
  used(): number;
}

/** The clocks of this thread. */
export const threadClock: CpuClock = {
  now: () => performance.now(),
  used: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** A token bucket for processor time: bounds the work that tenants can cause. */
export class CpuBudget {
  readonly #share: number;
  readonly #burst: number;
  readonly #clock: CpuClock;
  readonly #queue = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  /** Whether work of the queue is executing. */
  #busy = false;
  #balance: number;
  #at: number;

  /**
   * @param share part of the time that passes
   * @param burst largest balance, in ms
   */
  constructor(share: number, burst: number, clock: CpuClock = threadClock) {
    this.#share = share;
    this.#burst = burst;
    this.#clock = clock;
    this.#balance = burst;
    this.#at = clock.now();
  }

  /** Processor time that may be spent now, in ms; below 0 after an overdraft. */
  get balance(): number {
    const now = this.#clock.now();
    this.#balance = Math.min(this.#burst, this.#balance + (now - this.#at) * this.#share);
    this.#at = now;
    return this.#balance;
  }

  /** Time until the balance is positive, in ms; 0 where it is. */
  get wait(): number {
    const { balance } = this;
    return balance > 0 ? 0 : Math.ceil((1 - balance) / this.#share);
  }

  /**
   * Queues work and charges it. It executes at once where nothing is queued and the balance is positive. The function that
   * is returned cancels it.
   */
  inTurn(work: () => void): () => void {
    this.#queue.add(work);
    const isFree = !this.#busy && this.#timer === undefined && this.#queue.size === 1;
    if (isFree && this.wait === 0) this.#next();
    else this.#schedule();
    return () => this.#queue.delete(work);
  }

  #next(): void {
    const [first] = this.#queue;
    if (!first) return;
    this.#queue.delete(first);
    this.#busy = true;
    try {
      this.charge(first);
    } finally {
      this.#busy = false;
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#busy || this.#queue.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, this.wait);
  }

  /** Executes work and subtracts its processor time from the balance: on a busy machine work takes longer than it costs. */
  charge<T>(work: () => T): T {
    const before = this.#clock.used();
    try {
      return work();
    } finally {
      this.#balance = this.balance - (this.#clock.used() - before);
    }
  }
}
