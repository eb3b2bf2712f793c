/** A run that binds its socket itself: publishes the socket as soon as possible, and bounds the run's directory. */
import type { Clock } from "./ports/clock.ts";
import type { BindDirectory } from "./ports/sockets.ts";

/** First and longest delay between two attempts to publish the socket; each is twice the one before. In ms. */
const FIRST_DELAY = 10;
const LONGEST_DELAY = 500;
/** Delay between two checks of the directory's size. In ms. */
const CHECK_DELAY = 1000;

/** One run with its bind directory. */
export interface BoundRun {
  readonly clock: Pick<Clock, "after">;
  readonly bind: BindDirectory;
  readonly run: number;
  /** Whether the directory needs no more checks. */
  isOver(): boolean;
  /** Whether clients may be sent to the run now. */
  mayPublish(): boolean;
  /** Whether the socket still has to be published. */
  isUnpublished(): boolean;
  published(): void;
  /** The directory exceeds its bounds; `held` says by what, in words. */
  exceeded(held: string): void;
}

/** Publishes the socket as soon as a process listens on it and clients may be sent there. */
export const publishBound = (bound: BoundRun, delay = FIRST_DELAY): void => {
  if (!bound.isUnpublished()) return;
  const may = bound.mayPublish();
  if (may && bound.bind.publish(bound.run)) {
    bound.published();
    return;
  }
  const next = may ? Math.min(delay * 2, LONGEST_DELAY) : delay;
  bound.clock.after(delay, () => publishBound(bound, next));
};

/** Checks the directory while the run lives, and reports when it exceeds its bounds. */
export const guardDirectory = (bound: BoundRun): void => {
  if (bound.isOver()) return;
  void bound.bind.excess(bound.run).then((held) => {
    if (bound.isOver()) return;
    if (held !== undefined) bound.exceeded(held);
    else bound.clock.after(CHECK_DELAY, () => guardDirectory(bound));
  });
};
