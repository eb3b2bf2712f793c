/** The supervisor as a service: the order of its start and its shutdown, and its signals. */
import { VERSION } from "@dmhost/contract";
import type { Logger } from "pino";
import type { Supervisor } from "../engine/supervisor.ts";
import type { Publisher } from "../web/publisher.ts";
import type { Control } from "./control.ts";
import type { Loading } from "./loading.ts";
import { type Reload, warnOf } from "./reload.ts";

type Signal = "SIGTERM" | "SIGINT" | "SIGHUP";

interface ServiceParts {
  readonly supervisor: Pick<Supervisor, "changed" | "daemons" | "owners" | "removeStrays" | "shutdown">;
  readonly publisher: Pick<Publisher, "plan" | "close">;
  readonly control: Control;
  readonly loading: Pick<Loading, "end">;
  readonly reload: Pick<Reload, "confs" | "everything">;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Calls `handle` whenever this process gets the signal. */
  onSignal(signal: Signal, handle: () => void): void;
  /** Called after activity: memory is released when it is over. */
  active(): void;
  /** Ends the shim and removes the cgroups of this supervisor that have no processes. */
  release(): void;
  /** Ends the process once its log is written. */
  exit(): void;
}

export class Service {
  readonly #parts: ServiceParts;
  #shuttingDown = false;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  /**
   * Opens the control sockets and starts the daemons. A signal takes effect after that: before, it is not known which runs
   * an earlier supervisor left.
   * @throws errno errors, when a control socket cannot be opened; those that were opened are closed then
   */
  start(): Promise<void> {
    const { reload, onSignal } = this.#parts;
    const started = this.#start();
    const on = (signal: Signal, act: () => Promise<void>) =>
      onSignal(signal, () => void started.then(act, () => undefined));
    on("SIGTERM", () => this.#shutDown());
    on("SIGINT", () => this.#shutDown());
    on("SIGHUP", () => reload.everything());
    return started;
  }

  async #start(): Promise<void> {
    const { supervisor, publisher, control, loading, reload, log, active, release } = this.#parts;
    try {
      await control.open();
    } catch (error) {
      control.close();
      release();
      throw error;
    }
    await reload.confs(false);
    supervisor.changed = () => {
      publisher.plan();
      active();
    };
    publisher.plan();
    warnOf(log, "about an earlier supervisor", supervisor.removeStrays());
    active();
    loading.end();
    log.info({ version: VERSION, daemons: supervisor.daemons().length, owners: supervisor.owners() }, "ready");
  }

  async #shutDown(): Promise<void> {
    if (this.#shuttingDown) return;
    this.#shuttingDown = true;
    const { supervisor, publisher, control, log, release, exit } = this.#parts;
    publisher.close();
    log.info("stopping every daemon");
    await supervisor.shutdown();
    control.close();
    release();
    log.info("stopped");
    exit();
  }
}
