/** Restarts a daemon: one instance at a time where old and new runs can live at the same time, else all at once. */
import { alive } from "../core/lifecycle.ts";
import type { RequestResult } from "../core/request-status.ts";
import { areCompatible, mayRoll, type Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { InstanceSet } from "./instance-set.ts";
import type { Clock } from "./ports/clock.ts";
import { RollingRestart } from "./rolling-restart.ts";
import type { LatestRuns } from "./waiters.ts";

/** What a restart needs of its daemon. */
export interface RestartHost {
  /** Terms of its next runs. */
  terms: Terms | undefined;
  readonly instances: InstanceSet;
  runs(): LatestRuns;
  outcome(desired: "up" | "down", since: LatestRuns): Promise<RequestResult>;
  /** From now on the size under an earlier supervisor does not count. */
  forgetFormerSize(): void;
  /** The candidate failed and ends. */
  rolledBack(candidate: Instance, reason: string): void;
}

export class Restart {
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #host: RestartHost;
  #rolling: RollingRestart | undefined;

  constructor(clock: Pick<Clock, "now" | "after">, host: RestartHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** The rolling restart under way; undefined where none is. */
  get rolling(): RollingRestart | undefined {
    return this.#rolling;
  }

  /** Replaces the runs by runs of the daemon's terms. @param former terms of the present runs */
  begin(former: Terms | undefined): Promise<RequestResult> {
    const { terms, instances } = this.#host;
    const running = instances
      .active()
      .filter(({ state, candidate }) => alive(state) && state.want === "up" && !candidate);
    if (terms && running.length > 0 && former && mayRoll(terms) && areCompatible(former, terms)) {
      return this.#roll(terms, former, running);
    }
    this.abandon("a restart was requested meanwhile");
    const since = this.#host.runs();
    this.#host.forgetFormerSize();
    for (const instance of instances.active()) if (terms) instance.terms = terms;
    instances.fit();
    for (const instance of instances.active()) instance.feed({ type: "restart" });
    return this.#host.outcome("up", since);
  }

  #roll(terms: Terms, former: Terms, running: readonly Instance[]): Promise<RequestResult> {
    const { instances } = this.#host;
    const earlier = this.#rolling;
    // Where an earlier restart has replaced nothing, the runs still have the terms from before it.
    const present = earlier && !earlier.isServing ? earlier.former : former;
    earlier?.halt();
    for (const instance of instances.active()) {
      if (running.includes(instance)) continue;
      instance.terms = terms;
      instance.feed({ type: "restart" });
    }
    return new Promise((resolve) => {
      const restart = {
        terms,
        former: present,
        waiting: [...(earlier?.waiting ?? []), resolve],
      };
      const queue = running.map(({ key }) => key.instance);
      // Where the new terms have fewer instances, the others become retiring when all are replaced.
      const size = instances.active().length;
      const rolling = new RollingRestart(restart, queue, this.#clock, {
        instance: (number) => instances.get(number),
        hasRoom: () => instances.hasRoom(size),
        start: (present) => {
          const candidate = instances.add();
          candidate.terms = present;
          candidate.candidate = true;
          return candidate;
        },
        dismiss: (instance, how) => instances.dismiss(instance, how),
        rollBack: (candidate, reason) => this.#rollBack(rolling, candidate, reason),
        done: () => this.#done(rolling),
      });
      this.#rolling = rolling;
      rolling.advance();
    });
  }

  #rollBack(rolling: RollingRestart, candidate: Instance | undefined, reason: string): void {
    const { instances } = this.#host;
    this.#rolling = undefined;
    if (!rolling.hasReplaced) this.#host.terms = rolling.former;
    const ran = candidate?.state.last !== undefined && candidate.state.last.exit.how !== "launch-failed";
    for (const resolve of rolling.waiting) resolve({ ok: false, reason, ran });
    if (!candidate) return;
    this.#host.rolledBack(candidate, reason);
    instances.dismiss(candidate, "drain");
    for (const instance of instances.active()) instance.publishAgain();
  }

  #done({ waiting }: RollingRestart): void {
    this.#rolling = undefined;
    this.#host.forgetFormerSize();
    const since = this.#host.runs();
    this.#host.instances.even();
    void this.#host.outcome("up", since).then((outcome) => {
      for (const resolve of waiting) resolve(outcome);
    });
  }

  /** Ends a rolling restart early; its waiters get the reason. */
  abandon(reason: string): void {
    const rolling = this.#rolling;
    this.#rolling = undefined;
    rolling?.halt();
    for (const resolve of rolling?.waiting ?? []) resolve({ ok: false, reason, ran: false });
  }
}
