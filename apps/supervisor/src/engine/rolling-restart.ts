/** A rolling restart under way: performs the moves of core/rollout.ts. */

import type { RequestResult } from "../core/request-status.ts";
import { nextMove, paired, passed, type Rollout } from "../core/rollout.ts";
import type { Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { Clock } from "./ports/clock.ts";

/** Delay between two checks whether the candidate is ready. In ms. */
const CHECK_DELAY = 10;

/** What a rolling restart needs of its daemon. */
interface RolloutTarget {
  instance(number: number): Instance | undefined;
  /** Whether a candidate may start: with it, at most one run more than the daemon's size lives. */
  hasRoom(): boolean;
  /** Adds a candidate. */
  start(terms: Terms): Instance;
  dismiss(instance: Instance, how: "drain" | "stop"): void;
  /** The candidate failed for `reason`: instances that were not replaced stay. */
  rollBack(candidate: Instance | undefined, reason: string): void;
  /** All instances are replaced. */
  done(): void;
}

export class RollingRestart {
  /** Terms of the candidates. */
  terms: Terms;
  /** Terms of the instances that are to be replaced. */
  former: Terms;
  /** Called with the outcome. */
  readonly waiting: readonly ((outcome: RequestResult) => void)[];
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #target: RolloutTarget;
  #plan: Rollout;
  #cancel: (() => void) | undefined;
  #over = false;

  /** @param queue numbers of the instances that are to be replaced */
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

  /** Whether an instance has been replaced. */
  get hasReplaced(): boolean {
    return this.#plan.replaced > 0;
  }

  /** Whether new runs serve clients: an instance has been replaced, or is draining. */
  get isServing(): boolean {
    const { pair } = this.#plan;
    return this.hasReplaced || (pair !== undefined && this.#target.instance(pair.candidate)?.candidate === false);
  }

  /** Applies other limits to the candidates, and to the former terms in case of a rollback. */
  relimit(changed: (terms: Terms) => Terms): void {
    this.terms = changed(this.terms);
    this.former = changed(this.former);
  }

  /** Makes all moves that are possible now. */
  advance(): void {
    if (this.#over) return;
    this.#cancel?.();
    const { pair } = this.#plan;
    const candidate = pair && this.#target.instance(pair.candidate);
    // With listen=path it may be its own client before its socket is published.
    const countsClients = this.terms.definition.listen !== "path" && candidate?.state.phase === "running";
    if (countsClients && !candidate.reached) candidate.reached = candidate.serves() === true;
    const standing = (number: number) => this.#target.instance(number);
    const move = nextMove(this.#plan, standing, this.terms.definition, this.#clock.now());
    switch (move.move) {
      case "wait":
        this.#wait();
        return;
      case "begin": {
        const block = this.#target.instance(move.old)?.state.block;
        if (block) {
          this.#end();
          this.#target.rollBack(undefined, block.reason);
          return;
        }
        if (!this.#target.hasRoom()) {
          this.#wait();
          return;
        }
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
        // First, because dropping the old instance advances, too.
        this.#plan = passed(this.#plan);
        this.#replace(candidate, pair?.old);
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

  #wait(): void {
    this.#cancel = this.#clock.after(CHECK_DELAY, () => this.advance());
  }

  /** Ends the rolling restart early, and with it a candidate that has not replaced its instance. */
  halt(): void {
    this.#end();
    const { pair } = this.#plan;
    const candidate = pair && this.#target.instance(pair.candidate);
    if (!candidate?.candidate) return;
    if (this.#target.instance(pair?.old ?? 0)?.state.want === "up") this.#target.dismiss(candidate, "stop");
    else this.#replace(candidate, pair?.old);
  }

  /** The candidate takes the place of an instance that has ended. */
  #replace(candidate: Instance | undefined, replaced = 0): void {
    const old = this.#target.instance(replaced);
    candidate?.prove();
    if (old && !old.retiring) this.#target.dismiss(old, "drain");
  }

  #end(): void {
    this.#over = true;
    this.#cancel?.();
  }
}
