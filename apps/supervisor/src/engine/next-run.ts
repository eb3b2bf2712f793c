/** The run after the present one of an instance, where the shim launches it by itself (core/following.ts). */
import { mayFollow, SHORTEST_LIFE } from "../core/following.ts";
import type { State } from "../core/lifecycle.ts";
import type { Terms } from "../core/terms.ts";
import type { Clock } from "./ports/clock.ts";
import type { RunSlot } from "./ports/runs.ts";

/** What it needs of its instance. */
interface NextRunHost {
  readonly terms: Terms | undefined;
  readonly state: State;
  readonly candidate: boolean;
  /** When the owner's budget permits the next restart: OwnerContext.earliest. */
  earliest(now: number): number;
}

export class NextRun {
  readonly #slot: Pick<RunSlot, "forbidNext">;
  readonly #clock: Pick<Clock, "now">;
  readonly #host: NextRunHost;
  /** Whether the shim may launch it, as far as is known. */
  #isPermitted = false;
  /** Its pid, when the shim has launched it and the instance has not taken it over. */
  begun: number | undefined;

  constructor(slot: Pick<RunSlot, "forbidNext">, clock: Pick<Clock, "now">, host: NextRunHost) {
    this.#slot = slot;
    this.#clock = clock;
    this.#host = host;
  }

  /** LaunchPlan.again of the run that is about to be launched or taken over. */
  permit(): number | undefined {
    const now = this.#clock.now();
    this.#isPermitted = this.#isFollowed(this.#host.state) && this.#host.earliest(now) <= now;
    return this.#isPermitted ? SHORTEST_LIFE : undefined;
  }

  /** The present run has ended. */
  ended(): void {
    this.#isPermitted = false;
  }

  /** To be called before the effects that lead to a state: a signal could end the run. */
  prepare(state: State): void {
    if (!this.#isFollowed(state)) this.forbid();
  }

  forbid(): void {
    if (!this.#isPermitted) return;
    this.#isPermitted = false;
    this.#slot.forbidNext(this.#host.state.run);
  }

  #isFollowed(state: State): boolean {
    const { terms, candidate } = this.#host;
    return terms !== undefined && !candidate && mayFollow(state, terms.definition);
  }
}
