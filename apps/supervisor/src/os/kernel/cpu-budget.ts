/** A token bucket for processor time: bounds the work that tenants can cause. */
export class CpuBudget {
  readonly #share: number;
  readonly #burst: number;
  readonly #clock: () => number;
  readonly #queue = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  /** Whether work of the queue is executing. */
  #busy = false;
  #balance: number;
  #at: number;

  /**
   * @param share part of the time that passes
   * @param burst largest balance, in ms
   * @param clock in ms
   */
  constructor(share: number, burst: number, clock: () => number = () => performance.now()) {
    this.#share = share;
    this.#burst = burst;
    this.#clock = clock;
    this.#balance = burst;
    this.#at = clock();
  }

  /** Processor time that may be spent now, in ms; below 0 after an overdraft. */
  get balance(): number {
    const now = this.#clock();
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

  /** Executes work and subtracts its time from the balance. */
  charge<T>(work: () => T): T {
    const startedAt = this.#clock();
    try {
      return work();
    } finally {
      this.#balance = this.balance - (this.#clock() - startedAt);
    }
  }
}
