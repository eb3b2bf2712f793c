/** A run that binds its socket itself: publishes the socket as soon as it may, and bounds the directory. */
import type { Clock } from "./ports/clock.ts";
import type { BindDirectory } from "./ports/sockets.ts";

/** How long a look for the bound socket is put off first, and at most; each is twice as long as the one before. In ms. */
const FIRST_LOOK = 10;
const SLOWEST_LOOK = 500;
/** Between two looks at the size of the directory. In ms. */
const ROUND = 1000;

/** One run with its bind directory. */
export interface BindTimer {
  readonly clock: Pick<Clock, "after">;
  readonly bind: BindDirectory;
  readonly run: number;
  /** Whether its directory needs no guard any more. */
  isOver(): boolean;
  /** Whether clients may be sent to it now. */
  mayPublish(): boolean;
  /** Whether it still waits to be published. */
  publishes(): boolean;
  published(): void;
  /** Its directory holds too much, in words. */
  exceeded(held: string): void;
}

/** Publishes the socket as soon as a process listens on it and clients may be sent there. */
export const publishBound = (timer: BindTimer, wait = FIRST_LOOK): void => {
  if (!timer.publishes()) return;
  const may = timer.mayPublish();
  if (may && timer.bind.publish(timer.run)) {
    timer.published();
    return;
  }
  const next = may ? Math.min(wait * 2, SLOWEST_LOOK) : wait;
  timer.clock.after(wait, () => publishBound(timer, next));
};

/** For as long as the run lives, reports a directory that leaves no room to others. */
export const guardDirectory = (timer: BindTimer): void => {
  if (timer.isOver()) return;
  void timer.bind.excess(timer.run).then((held) => {
    if (timer.isOver()) return;
    if (held !== undefined) timer.exceeded(held);
    else timer.clock.after(ROUND, () => guardDirectory(timer));
  });
};
