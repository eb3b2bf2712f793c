/** How much of a processor's time may go into what others can make expensive: a small share of it, saved up a little. */
export class CpuBudget {
  readonly #share: number;
  readonly #burst: number;
  readonly #clock: () => number;
  readonly #queue = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  /** Whether somebody's turn is not over. */
  #taken = false;
  #balance: number;
  #at: number;

  /**
   * @param share of the time that passes
   * @param burst what can be saved up, in ms
   * @param clock in ms
   */
  constructor(share: number, burst: number, clock: () => number = () => performance.now()) {
    this.#share = share;
    this.#burst = burst;
    this.#clock = clock;
    this.#balance = burst;
    this.#at = clock();
  }

  /** What there is of it, in ms; below 0 it is owed. */
  get balance(): number {
    const now = this.#clock();
    this.#balance = Math.min(this.#burst, this.#balance + (now - this.#at) * this.#share);
    this.#at = now;
    return this.#balance;
  }

  /** In how many ms there will be some again; 0 where there is. */
  get wait(): number {
    const { balance } = this;
    return balance > 0 ? 0 : Math.ceil((1 - balance) / this.#share);
  }

  /**
   * Does work when there is some of it and those who came before have had their turn: at once, if nobody waits. The function
   * that is returned gives it up.
   */
  inTurn(work: () => void): () => void {
    this.#queue.add(work);
    const isFree = !this.#taken && this.#timer === undefined && this.#queue.size === 1;
    if (isFree && this.wait === 0) this.#next();
    else this.#await();
    return () => this.#queue.delete(work);
  }

  #next(): void {
    const [first] = this.#queue;
    if (!first) return;
    this.#queue.delete(first);
    this.#taken = true;
    try {
      this.charge(first);
    } finally {
      this.#taken = false;
      this.#await();
    }
  }

  #await(): void {
    if (this.#taken || this.#queue.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, this.wait);
  }

  /** Does work, and pays for the time that it takes. */
  charge<T>(work: () => T): T {
    const begun = this.#clock();
    try {
      return work();
    } finally {
      this.#balance = this.balance - (this.#clock() - begun);
    }
  }
}
