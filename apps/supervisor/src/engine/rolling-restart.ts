/** A rolling restart under way: takes the moves of core/rollout.ts. */
import { nextMove, paired, passed, type Rollout } from "../core/rollout.ts";
import type { Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { Clock } from "./ports/clock.ts";
import type { Ending } from "./waiters.ts";

/** How often it looks whether the new process is reached. In ms. */
const LOOK = 10;

/** What it needs of the daemon. */
export interface RolloutTarget {
  instance(number: number): Instance | undefined;
  /** Begins one that is to replace another. */
  start(terms: Terms): Instance;
  dismiss(instance: Instance, how: "drain" | "stop"): void;
  /** It goes back, for `reason`: what was not replaced goes on. */
  rollBack(candidate: Instance | undefined, reason: string): void;
  /** All are replaced. */
  done(): void;
}

export class RollingRestart {
  /** What its daemon's runs are to be made of. */
  terms: Terms;
  /** What they were made of before. */
  former: Terms;
  /** Resolved with its ending. */
  readonly waiting: readonly ((ending: Ending) => void)[];
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #target: RolloutTarget;
  #plan: Rollout;
  #cancel: (() => void) | undefined;
  #over = false;

  /** @param queue the instances that are to be replaced */
  constructor(
    { terms, former, waiting }: Pick<RollingRestart, "terms" | "former" | "waiting">,
    queue: readonly number[],
    clock: Pick<Clock, "now" | "after">,
    target: RolloutTarget,
  ) {
    this.terms = terms;
    this.former = former;
    this.waiting = waiting;
    this.#plan = { queue, pair: undefined, replaced: 0 };
    this.#clock = clock;
    this.#target = target;
  }

  /** Whether one has been replaced. */
  get hasReplaced(): boolean {
    return this.#plan.replaced > 0;
  }

  /** Whether visitors are being served by new ones: one has been replaced, or is finishing what it is at. */
  get isServing(): boolean {
    const { pair } = this.#plan;
    return this.hasReplaced || (pair !== undefined && this.#target.instance(pair.candidate)?.candidate === false);
  }

  /** Other limits apply to what there is, was and will be. */
  relimit(changed: (terms: Terms) => Terms): void {
    this.terms = changed(this.terms);
    this.former = changed(this.former);
  }

  /** Goes as far as it can at this moment. */
  advance(): void {
    if (this.#over) return;
    this.#cancel?.();
    const { pair } = this.#plan;
    const candidate = pair && this.#target.instance(pair.candidate);
    // One that binds its own socket may be its own client before that is published.
    const mayTell = this.terms.definition.listen !== "path" && candidate?.state.phase === "running";
    if (mayTell && !candidate.reached) candidate.reached = candidate.serves() === true;
    const standing = (number: number) => this.#target.instance(number);
    const move = nextMove(this.#plan, standing, this.terms.definition, this.#clock.now());
    switch (move.move) {
      case "wait":
        this.#cancel = this.#clock.after(LOOK, () => this.advance());
        return;
      case "begin": {
        const instance = this.#target.start(this.terms);
        this.#plan = paired(this.#plan, instance.key.instance);
        instance.feed({ type: "start" });
        instance.feed({ type: "connection" });
        return;
      }
      case "drain": {
        const old = this.#target.instance(move.old);
        candidate?.prove();
        if (old) this.#target.dismiss(old, "drain");
        this.advance();
        return;
      }
      case "pass":
        candidate?.prove();
        this.#plan = passed(this.#plan);
        this.advance();
        return;
      case "back":
        this.#end();
        this.#target.rollBack(candidate, move.reason);
        return;
      case "done":
        this.#end();
        this.#target.done();
    }
  }

  /** Ends it where it is: one that has not replaced its other yet goes. */
  halt(): void {
    this.#end();
    const { pair } = this.#plan;
    const candidate = pair && this.#target.instance(pair.candidate);
    if (!candidate?.candidate) return;
    if (this.#target.instance(pair?.old ?? 0)?.state.want === "up") this.#target.dismiss(candidate, "stop");
    else candidate.prove();
  }

  #end(): void {
    this.#over = true;
    this.#cancel?.();
  }
}
