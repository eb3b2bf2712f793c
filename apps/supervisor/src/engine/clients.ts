/** Clients of a daemon: when the socket admits them, when one wakes the daemon, and when the daemon is idle. */
import { alive, isExpected } from "../core/lifecycle.ts";
import type { Terms } from "../core/terms.ts";
import { IdleTimer } from "./idle-timer.ts";
import type { Instance } from "./instance.ts";
import type { InstanceSet } from "./instance-set.ts";
import type { Clock } from "./ports/clock.ts";
import type { SharedResources } from "./shared-resources.ts";

/** What the handling of clients needs of the daemon. */
export interface ClientsHost {
  readonly terms: Terms | undefined;
  readonly instances: InstanceSet;
  readonly shared: SharedResources;
  /** Whether a restart is replacing its instances at present. */
  readonly rolling: boolean;
  /** A client waits at the socket of the sleeping daemon. */
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

  /** Admits clients while an instance will serve them, and waits for a client while an instance is asleep. */
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

  /** Starts the idle timer, where the daemon can be idle. */
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
    const { touched = false, queued = false } = shared.socket?.observe() ?? {};
    // A client that nobody accepts would wake the daemon again at once.
    const signs = rolling || touched || queued ? [true] : instances.active().map((one) => one.serves());
    if (signs.includes(true)) this.mark();
    return signs.includes(true) || (signs.includes(undefined) ? undefined : false);
  }

  /**
   * Counts the clients so far; from now on only later ones count.
   * @param starting had no client: its run is about to start
   */
  mark(starting?: Instance): void {
    const { instances, shared } = this.#host;
    const { socket } = shared;
    if (!socket) return;
    for (const instance of instances.all()) {
      if (instance !== starting && alive(instance.state)) instance.noteClients();
    }
    socket.mark();
    for (const instance of instances.all()) instance.observeClients();
  }
}
