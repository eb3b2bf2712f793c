/** What becomes of a run between its launch and its end. */
import type { RawEnd, RunEvents } from "../../engine/ports/runs.ts";
import { systemClock } from "../kernel/clock.ts";
import type { ShimRun } from "../shim/objects.ts";
import { signalName } from "./signals.ts";

/** Longest launch, without the time for which it reports that it waits. In ms; reading variables may take 10 s of it. */
export const LONGEST_LAUNCH = 15_000;

/** The processes of a run, whose states a shim reports. */
interface Tree {
  kill(): void;
  /** Its main process has ended. */
  ended(): void;
  /** Calls `gone` when no process is left, at once or later. */
  awaitEmpty(gone: () => void): void;
  /** See readMemoryEnd. */
  memoryEnd(): { readonly oomKilled: boolean; readonly peak: number | undefined };
}

/** Turns the states of a run, as the shim reports them, into its events. */
export class RunReport {
  readonly #tree: Tree;
  readonly #events: RunEvents;
  readonly #over: () => void;
  #waiting = "";
  #isLaunched = false;
  #isReady = false;
  #isOver = false;
  #isLate = false;
  #cancelLimit: (() => void) | undefined;

  /** @param over called when no process is left */
  constructor(tree: Tree, events: RunEvents, over: () => void) {
    this.#tree = tree;
    this.#events = events;
    this.#over = over;
    this.#limitLaunch();
  }

  #limitLaunch(): void {
    this.#cancelLimit = systemClock.after(LONGEST_LAUNCH, () => {
      this.#isLate = true;
      this.#tree.kill();
    });
  }

  #unlimit(): void {
    this.#cancelLimit?.();
    this.#cancelLimit = undefined;
  }

  take(run: ShimRun): void {
    if (this.#isOver) return;
    const { failure, state } = run;
    const waiting = failure ? "" : (run.waiting ?? "");
    if (waiting !== this.#waiting) {
      this.#waiting = waiting;
      this.#unlimit();
      if (waiting === "") this.#limitLaunch();
      this.#events.waiting(waiting);
    }
    if (!this.#isLaunched && (state === "launched" || (state === "exited" && !failure && !this.#isLate))) {
      this.#isLaunched = true;
      this.#unlimit();
      this.#events.launched();
    }
    if (!this.#isReady && run.ready) {
      this.#isReady = true;
      this.#events.ready();
    }
    if (state === "exited") this.#exited(run);
  }

  #exited({ end, failure, next }: ShimRun): void {
    this.#isOver = true;
    this.#unlimit();
    const tree = this.#tree;
    tree.ended();
    const late = { stage: "launching", reason: `it took longer than ${LONGEST_LAUNCH / 1000}s` };
    this.#events.exited({
      ...endOf(end),
      failure: this.#isLate && !this.#isLaunched ? late : failure,
      ...tree.memoryEnd(),
    });
    tree.awaitEmpty(() => {
      // First: the next run, which may have the same name, can be launched at once.
      this.#over();
      this.#events.gone(undefined, next);
    });
  }
}

/** An end as `exited` reports it. */
const endOf = (end: ShimRun["end"]): RawEnd =>
  end?.code === undefined
    ? { code: undefined, signal: signalName(end?.signal ?? 0) }
    : { code: end.code, signal: undefined };
