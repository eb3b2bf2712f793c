/** Pulls of images: few at a time, so that no owner fills the line or the disk alone. */
import { MOST_PULLS, MOST_PULLS_OF_OWNER, MOST_WAITING_PULLS } from "@dmhost/broker-contract";
import { ContainerRefusal } from "../rules/refusal.ts";

/** Time between two reports of progress, in ms. */
const PACE = 250;

interface Waiting {
  readonly owner: string;
  readonly begin: () => void;
}

export class Pulls {
  readonly #now: () => number;
  readonly #running: string[] = [];
  #waiting: Waiting[] = [];

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Does `work` when its turn comes.
   * @throws ContainerRefusal where too many pulls of the owner wait; what `work` throws
   */
  async do<T>(owner: string, work: () => Promise<T>): Promise<T> {
    if (!this.#hasRoom(owner)) {
      if (this.#waiting.filter((each) => each.owner === owner).length >= MOST_WAITING_PULLS)
        throw new ContainerRefusal(
          "busy",
          `${MOST_WAITING_PULLS} pulls of ${owner} wait already; try again when one has ended`,
        );
      await new Promise<void>((begin) => this.#waiting.push({ owner, begin }));
    } else this.#running.push(owner);
    try {
      return await work();
    } finally {
      this.#running.splice(this.#running.indexOf(owner), 1);
      this.#next();
    }
  }

  /** Passes percentages on, at most four a second; the last may be dropped, because the answer follows it. */
  paced(report: (percent: number) => void): (percent: number) => void {
    let last = Number.NEGATIVE_INFINITY;
    return (percent) => {
      const now = this.#now();
      if (now - last < PACE) return;
      last = now;
      report(percent);
    };
  }

  #hasRoom(owner: string): boolean {
    const own = this.#running.filter((each) => each === owner).length;
    return this.#running.length < MOST_PULLS && own < MOST_PULLS_OF_OWNER;
  }

  #next(): void {
    for (let next = this.#first(); next !== undefined; next = this.#first()) {
      const { owner, begin } = next;
      this.#waiting = this.#waiting.filter((each) => each !== next);
      this.#running.push(owner);
      begin();
    }
  }

  #first(): Waiting | undefined {
    return this.#waiting.find(({ owner }) => this.#hasRoom(owner));
  }
}
