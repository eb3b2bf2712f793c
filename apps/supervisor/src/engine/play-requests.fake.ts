/** The requests of a play: which have no outcome yet, which outcomes are wrong, and what the latest one of each daemon desires. */
import { expect } from "vitest";
import { alive } from "../core/lifecycle.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { RequestVerb } from "./acts.fake.ts";
import type { Daemon } from "./daemon.ts";
import type { Scene } from "./scene.fake.ts";

interface LatestRequest {
  readonly number: number;
  readonly desired: "up" | "down" | "either";
  readonly verb: RequestVerb;
  /** undefined without an outcome. */
  ok?: boolean;
}

const desiredBy = (verb: RequestVerb): LatestRequest["desired"] => {
  if (verb === "stop" || verb === "exit") return "down";
  return verb === "once" ? "either" : "up";
};

export class PlayRequests {
  readonly #scene: Scene;
  #sequence = 0;
  #hasOnce = false;
  /** Outcomes that blame a later request where there was none, or come before the records. */
  readonly #unfounded: string[] = [];
  /** Requests without an outcome. */
  readonly #pending = new Set<number>();
  /** The latest request about a daemon that changes its desired state; undefined where it is not known. */
  readonly #latest = new Map<string, LatestRequest>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  make(daemon: Daemon, verb: RequestVerb): void {
    const { id } = daemon;
    // One that is dropped after its stop may be loaded, and started, again.
    const isDropped = daemon.removed;
    this.#hasOnce ||= verb === "once";
    const outcome = this.#scene.supervisor[verb](daemon);
    this.track(daemon, outcome);
    if (verb === "pause" || verb === "continue") return;
    const desired = desiredBy(verb);
    if (isDropped && desired === "down") {
      this.forget(id);
      return;
    }
    const latest: LatestRequest = { number: this.#sequence, desired, verb };
    this.#latest.set(id, latest);
    void outcome.then(({ ok }) => {
      latest.ok = ok;
    });
  }

  track(daemon: Daemon, outcome: Promise<RequestResult>): void {
    this.count();
    const number = this.#sequence;
    this.#pending.add(number);
    void outcome.then((result) => {
      this.#pending.delete(number);
      const { pending, full } = this.#scene.ports.records;
      const isUnrecorded = this.#scene.supervisor.daemon(daemon.id) === daemon && pending.includes(daemon.id);
      if (result.ok && isUnrecorded && !full) this.#unfounded.push("a request is answered before it is recorded");
      const isOvertaken = !result.ok && result.reason.endsWith(" requested meanwhile");
      // A run of `once` stops without a request.
      if (isOvertaken && !this.#hasOnce && this.#sequence === number) this.#unfounded.push(result.reason);
    });
  }

  /** Counts something that outcomes may blame as they blame a request. */
  count(): void {
    this.#sequence += 1;
  }

  latest(id: string): LatestRequest | undefined {
    return this.#latest.get(id);
  }

  /** The desired state of this daemon is not known any more. */
  forget(id: string): void {
    this.#latest.delete(id);
  }

  forgetAll(): void {
    this.#latest.clear();
  }

  /** Forgets the daemons for which `isUnknown` returns true. */
  forgetWhere(isUnknown: (id: string, latest: LatestRequest) => boolean): void {
    for (const [id, latest] of this.#latest) if (isUnknown(id, latest)) this.forget(id);
  }

  /** The supervisor is replaced: no outcome of its requests will come. */
  abandon(): void {
    this.#pending.clear();
  }

  /** What holds once nothing more happens. */
  checkCalm(): void {
    expect([...this.#pending], "requests without an outcome").toEqual([]);
    expect(this.#unfounded, "outcomes that blame a later request").toEqual([]);
    for (const [id, { ok, desired }] of this.#latest) {
      if (!ok || desired === "either") continue;
      const daemon = this.#scene.supervisor.daemon(id);
      if (desired === "up") expect(daemon?.state.want, `${id} is desired up`).toBe("up");
      else expect(daemon === undefined || !alive(daemon.state), `${id} is desired down`).toBe(true);
    }
  }
}
