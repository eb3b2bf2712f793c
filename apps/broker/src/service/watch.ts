/** Follows the engine: what ended or was removed, also while the engine was away. */
import type { BrokerEvent } from "@dmhost/broker-contract";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import { brokerFilter } from "../rules/container-labels.ts";
import type { ContainerEngine, EngineEvent } from "../rules/engine.ts";
import type { Broker } from "./broker.ts";
import type { BrokerState } from "./state-files.ts";

/** Times until the engine is tried again, in ms; the last one repeats. */
const PAUSES = [100, 200, 500, 1000] as const;

/** What it tells the supervisor. */
type Report = (event: BrokerEvent["event"]) => void;

export class EngineWatch {
  readonly #engine: ContainerEngine;
  readonly #state: BrokerState;
  readonly #broker: Pick<Broker, "sweep" | "forgetEngine">;
  readonly #report: Report;
  readonly #warn: (about: Readonly<Record<string, unknown>>, text: string) => void;
  /** Containers whose end was reported. */
  readonly #ended = new Set<string>();
  #reachable: boolean | undefined;
  #isOver = false;
  #close = (): void => undefined;

  constructor(
    engine: ContainerEngine,
    state: BrokerState,
    broker: Pick<Broker, "sweep" | "forgetEngine">,
    report: Report,
    warn: (about: Readonly<Record<string, unknown>>, text: string) => void,
  ) {
    this.#engine = engine;
    this.#state = state;
    this.#broker = broker;
    this.#report = report;
    this.#warn = warn;
  }

  /** Follows the engine until `end`. Never throws. */
  async follow(): Promise<void> {
    for (let failed = 0; !this.#isOver; failed += 1) {
      try {
        const { over, close } = await this.#engine.events(
          brokerFilter(this.#state.id),
          (event) => void this.#take(event),
        );
        this.#close = close;
        // From here on no event is missed, so the present state completes it.
        await this.#broker.sweep();
        await this.#compare();
        this.#reach(true);
        failed = 0;
        await over;
      } catch (error) {
        if (this.#reachable !== false) this.#warn({ reason: messageOf(error) }, "the Docker engine cannot be followed");
      } finally {
        this.#close();
      }
      if (this.#isOver) return;
      this.#broker.forgetEngine();
      this.#reach(false);
      await new Promise((resolve) => setTimeout(resolve, PAUSES[Math.min(failed, PAUSES.length - 1)]).unref());
    }
  }

  end(): void {
    this.#isOver = true;
    this.#close();
  }

  #reach(reachable: boolean): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#report({ kind: "engine", reachable });
  }

  async #take({ kind, id }: EngineEvent): Promise<void> {
    try {
      if (!this.#state.containers.has(id)) {
        // One of a broker that was killed, or that gave up: the engine completes what was requested before.
        if (kind === "created") await this.#broker.sweep();
        return;
      }
      if (kind === "created") return;
      if (kind === "removed") this.#removed(id);
      else await this.#look(id);
    } catch (error) {
      this.#warn({ container: id, reason: messageOf(error) }, "an event of the Docker engine cannot be used");
    }
  }

  /** Reports the end of a container, or its removal. */
  async #look(id: string): Promise<void> {
    const found = await this.#engine.inspect(id);
    if (found === undefined) this.#removed(id);
    else if (found.exitCode !== undefined && !this.#ended.has(id)) {
      this.#ended.add(id);
      this.#report({ kind: "ended", container: id, exitCode: found.exitCode, oomKilled: found.oomKilled });
    }
  }

  #removed(id: string): void {
    if (!this.#state.containers.has(id)) return;
    this.#state.dropContainer(id);
    this.#ended.delete(id);
    this.#report({ kind: "removed", container: id });
  }

  async #compare(): Promise<void> {
    const found = await this.#engine.list(brokerFilter(this.#state.id));
    const running = new Set(found.filter((each) => each.running).map(({ id }) => id));
    for (const id of this.#state.containers.keys()) if (!running.has(id)) await this.#look(id);
  }
}
