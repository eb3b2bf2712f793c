/** Events of a run, recorded in order. */
import { vi } from "vitest";
import type { RawExit, RunEvents } from "../../engine/ports/runs.ts";

/** Patience with a busy machine. In ms. */
const LONGEST = 30_000;

export class RecordedEvents implements RunEvents {
  readonly all: string[] = [];
  readonly waits: string[] = [];
  exit: RawExit;
  finish: number | undefined;

  waiting(reason: string): void {
    this.waits.push(reason);
  }
  launched(): void {
    this.all.push("launched");
  }
  ready(): void {
    this.all.push("ready");
  }
  exited(exit: RawExit): void {
    this.exit = exit;
    this.all.push("exited");
  }
  gone(finish: number | undefined): void {
    this.finish = finish;
    this.all.push("gone");
  }

  /** Resolves when this event has come. */
  until(event: "launched" | "ready" | "exited" | "gone"): Promise<void> {
    return eventually(() => {
      if (!this.all.includes(event)) throw new Error(`no ${event} after ${this.all.join(", ")}`);
    });
  }
}

/** Resolves when `check` no longer throws. */
export const eventually = async (check: () => void): Promise<void> => {
  await vi.waitFor(check, { timeout: LONGEST, interval: 10 });
};
