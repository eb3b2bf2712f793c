/** Handles SIGHUP: reads the policy and the conf files again, and re-executes if the program on disk has changed. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { messageOf } from "../core/error-message.ts";
import type { RescanReport } from "../core/rescan-report.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import type { Control } from "./control.ts";
import type { Machine } from "./machine.ts";
import { inTurns } from "./pace.ts";
import type { LoadedPolicy } from "./policy.ts";

type Level = "info" | "warn" | "error";

interface ReloadParts {
  readonly supervisor: Pick<Supervisor, "enforcing" | "owners" | "rescanning" | "stopping">;
  readonly accounts: Pick<Machine["accounts"], "base">;
  readonly control: Pick<Control, "open">;
  readonly log: Pick<Logger, Level>;
  /** @throws Error with a line for each problem, when the policy file is refused */
  loadPolicy(): LoadedPolicy;
  /** Edition of the program that is executing; undefined where it was not found. */
  readonly executing: string | undefined;
  /** Edition of the program on disk; undefined while there is none. */
  onDisk(): string | undefined;
  /** Executes the program on disk in this process. Returns only by an error. */
  reExec(): void;
}

/** Logs a warning for each problem. */
export const warnOf = (log: Pick<Logger, "warn">, subject: string, problems: readonly string[]): void => {
  for (const problem of problems) log.warn({ problem }, subject);
};

export class Reload {
  readonly #parts: ReloadParts;
  /** Settles with the latest reload. Reloads are serial, because two at a time would open the same sockets. */
  #latest: Promise<unknown> = Promise.resolve();

  /**
   * Reads the policy file and the accounts, and opens the control sockets that they give; resolves with problems.
   * Reloads wait for each other; all that are requested before one begins are one.
   * @throws Error when the file is refused: the policy in force stays
   */
  readonly policy = this.#inTurn(() => this.#policy());

  /** Reads policy and conf files again, in the same turns. If the policy has errors, no conf files are read. */
  readonly everything = this.#inTurn(() => this.#everything());

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  #inTurn<T>(reload: () => Promise<T>): () => Promise<T> {
    let next: Promise<T> | undefined;
    const begin = (): Promise<T> => {
      next = undefined;
      return reload();
    };
    return () => {
      if (!next) {
        // Signals of one turn of the event loop come one by one; a reload that waits for nothing would end before the next.
        next = this.#latest.then(() => nextTurn()).then(begin);
        this.#latest = next.catch(() => undefined);
      }
      return next;
    };
  }

  async #policy(): Promise<string[]> {
    const { supervisor, accounts, control, log } = this.#parts;
    if (supervisor.stopping) return [];
    const { inForce, problems } = this.#parts.loadPolicy();
    accounts.base = inForce.accounts;
    await inTurns(supervisor.enforcing(inForce));
    const unopened: string[] = [];
    try {
      await control.open();
    } catch (error) {
      unopened.push(`cannot open the control sockets of the policy in force: ${messageOf(error)}; reload again`);
    }
    log.info({ owners: supervisor.owners() }, "policy read again");
    return [...problems, ...unopened];
  }

  /** Reads the conf files of all owners, and logs their problems. @param isRequested see Supervisor.rescanning */
  async confs(isRequested = true): Promise<RescanReport> {
    const { supervisor, log } = this.#parts;
    const report = await inTurns(supervisor.rescanning(supervisor.owners(), isRequested));
    warnOf(log, "about a conf file", [...report.problems, ...report.warnings]);
    return report;
  }

  async #everything(): Promise<void> {
    const { supervisor, log } = this.#parts;
    try {
      warnOf(log, "about the policy", await this.#policy());
    } catch (error) {
      log.error({ err: error }, "the policy file has errors; the policy in force stays");
      return;
    }
    // A re-executed program would start the daemons again that the shutdown stops.
    if (supervisor.stopping) return;
    const { found, started, changed, removed } = await this.confs();
    log.info({ found, started, changed, removed }, "conf files read again");
    this.#replaceProgram();
  }

  #replaceProgram(): void {
    const { log, executing, onDisk, reExec } = this.#parts;
    const current = onDisk();
    if (current === undefined || current === executing) return;
    log.info("re-executing: program on disk changed");
    try {
      reExec();
    } catch (error) {
      log.error({ err: error }, "cannot re-execute; this program continues");
    }
  }
}
