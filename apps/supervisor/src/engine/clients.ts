/** Clients of a daemon: when they are admitted, when they wake it, and when it has been idle for long enough. */
import { alive, isExpected } from "../core/lifecycle.ts";
import type { Terms } from "../core/terms.ts";
import { IdleTimer } from "./idle-timer.ts";
import type { Instance } from "./instance.ts";
import type { InstanceSet } from "./instance-set.ts";
import type { Clock } from "./ports/clock.ts";
import type { SharedResources } from "./shared-resources.ts";

/** What it needs of the daemon. */
export interface ClientsHost {
  readonly terms: Terms | undefined;
  readonly instances: InstanceSet;
  readonly shared: SharedResources;
  /** Whether a restart is replacing its instances at present. */
  readonly rolling: boolean;
  /** A client waits at the socket of a daemon that is asleep. */
  connected(): void;
  /** No client has come for `idle-timeout`. */
  idle(): void;
}

export class Clients {
  readonly #clock: Clock;
  readonly #host: ClientsHost;
  readonly #idleTimer: IdleTimer;

  constructor(clock: Clock, host: ClientsHost) {
    this.#clock = clock;
    this.#host = host;
    this.#idleTimer = new IdleTimer(clock, {
      timeout: () => this.#idleTimeout(),
      busy: () => this.#isBusy(),
      idle: () => host.idle(),
    });
  }

  /** Admits clients as long as an instance will serve them, and wakes those that sleep when a client comes. */
  publish(): void {
    const { instances, shared } = this.#host;
    const now = this.#clock.now();
    const isOpen = instances.all().some(({ state }) => isExpected(state, now));
    shared.admit(isOpen);
    if (!isOpen && !alive(instances.representative().state)) shared.dismiss();
    if (!instances.active().some(({ state }) => state.phase === "asleep")) return;
    shared.awaitClient(() => {
      this.#host.connected();
      this.publish();
    });
  }

  /** Starts to look for idleness, where that matters. */
  watch(): void {
    this.#idleTimer.watch();
  }

  end(): void {
    this.#idleTimer.end();
  }

  #idleTimeout(): number | undefined {
    const { instances, shared, terms } = this.#host;
    const isAwake = instances.active().some(({ state }) => state.phase === "running");
    return terms?.definition.ondemand && shared.socket && isAwake ? terms.definition.idleTimeout : undefined;
  }

  #isBusy(): boolean | undefined {
    const { instances, shared, rolling } = this.#host;
    const isVisited = rolling || shared.socket?.observe().touched;
    const signs = isVisited ? [true] : instances.active().map((one) => one.serves());
    if (signs.includes(true)) this.mark();
    return signs.includes(true) || (signs.includes(undefined) ? undefined : false);
  }

  /**
   * Counts the clients that came so far; from now on only later ones count.
   * @param beginner has had no client, for its run is only about to start
   */
  mark(beginner?: Instance): void {
    const { instances, shared } = this.#host;
    const { socket } = shared;
    if (!socket) return;
    for (const instance of instances.all()) {
      if (instance !== beginner && alive(instance.state)) instance.noteClients();
    }
    socket.mark();
    for (const instance of instances.all()) instance.observeClients();
  }
}
