/**
 * A daemon's log: a FIFO that the daemon writes to and an s6-log, running as the owner, that reads it
 * (docs/explanation/architecture.md#a-log-line). The supervisor is not in the data path, and the shim holds the FIFO.
 */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../core/error-message.ts";
import type { LogLoss, LogPredecessor, LogTrace } from "../../engine/ports/logs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { ProcessTree, type Run } from "../processes/process-tree.ts";
import { openFifo } from "./fifo.ts";
import { emptied, endLine } from "./last-line.ts";
import type { LogPlan } from "./log-plan.ts";
import { Logger, type LoggerListener, type LoggerSurroundings } from "./logger.ts";
import { Overflow, type OverflowWatch } from "./overflow.ts";

/** Silence after which an unfinished last line is ended. In ms. */
const SILENCE = 250;
/** Wait for a logger that was sent TERM with nothing left to read. In ms. */
const SHORT_WAIT = 100;
/** Time for a logger to write the rest: its owner may have stopped it, or hold its FIFO open. In ms. */
export const LONGEST_FLUSH = 3000;

/** An open log. */
export class Log {
  /** The FIFO: its daemon's output. */
  readonly #fd: number;
  readonly #surroundings: LoggerSurroundings;
  readonly #plan: LogPlan;
  readonly #logger: Logger;
  readonly #report: (problem: string) => void;
  readonly #overflow: Overflow | undefined;
  readonly #watch: OverflowWatch;
  readonly #formerlyDropped: number;
  /** Resolves after the first start of the logger; undefined where that did not have to wait for an earlier log. */
  #started: Promise<void> | undefined;
  #closed = false;

  /**
   * Opens the FIFO and starts a logger, or adopts the one of an earlier supervisor.
   * @throws errno errors when the FIFO cannot be made or opened
   */
  constructor(
    plan: LogPlan,
    former: LogPredecessor,
    surroundings: LoggerSurroundings & { readonly overflows: OverflowWatch },
    listener: LoggerListener,
  ) {
    const { overflows } = surroundings;
    this.#plan = plan;
    this.#surroundings = surroundings;
    this.#report = listener.report;
    this.#fd = openFifo(surroundings.link, plan.name, plan.fifo, plan.writer.uid);
    this.#formerlyDropped = former.dropped;
    this.#watch = overflows;
    if (plan.destination) {
      const watched = { fd: this.#fd, ...plan.destination };
      this.#overflow = new Overflow(watched, former.dropped, { report: listener.report, counted: listener.replaced });
      overflows.add(this.#overflow);
    }
    this.#logger = new Logger(plan, surroundings, listener);
    const cgroup = plan.containment?.group();
    if (this.#logger.adopt()) {
      if (former.signature !== this.#logger.signature) this.#logger.relieve();
      return;
    }
    if (!plan.containment && !former.closed) {
      this.#logger.start();
      return;
    }
    const { logger } = former;
    const cleared = new Promise<void>((resolve) =>
      logger && plan.containment ? new ProcessTree(logger, cgroup).clear(resolve) : resolve(),
    );
    this.#started = Promise.all([former.closed, cleared]).then(() => this.#logger.start());
  }

  get loss(): LogLoss {
    const { lines, reason } = this.#overflow?.loss ?? { lines: this.#formerlyDropped, reason: "" };
    return { lines, reason: [reason, this.#logger.trouble].filter((why) => why !== "").join("; ") };
  }

  get trace(): LogTrace {
    return { logger: this.#logger.run?.leader, signature: this.#logger.signature, dropped: this.loss.lines };
  }

  /** The logger where it is a tenant's program. */
  get tenants(): Run | undefined {
    return this.#plan.containment ? this.#logger.run : undefined;
  }

  /** Replaces the logger; no line is lost. */
  follow(logger: LaunchPlan): void {
    this.#logger.follow(logger);
  }

  /**
   * Ends a last line that the daemon has not ended, so that it is logged before another run writes.
   * @param idle whether no run of the daemon is alive
   */
  async settle(idle: () => boolean): Promise<void> {
    await sleep(SILENCE);
    const isFine = () => idle() && !this.#closed && this.loss.reason === "";
    if (this.#plan.containment || !isFine() || !(await emptied(this.#fd, LONGEST_FLUSH))) return;
    const { run } = this.#logger;
    if (!run || !isFine()) return;
    this.#logger.relieve();
    await endLine(this.#fd, run.pid, () => this.#logger.run === run && isFine());
  }

  /** Lets the logger write the rest, ends it and removes the FIFO. No run of the daemon may be alive. */
  async close(): Promise<void> {
    if (this.#overflow) this.#watch.remove(this.#overflow);
    // The first logger gets the FIFO from the shim.
    await this.#started;
    try {
      this.#surroundings.link.requests.release("fifo", this.#plan.name);
    } catch (error) {
      this.#report(`cannot remove its FIFO: ${messageOf(error)}`);
    }
    this.#closed = true;
    const ended = this.#logger.finish();
    const limit = setTimeout(() => this.#logger.kill(), LONGEST_FLUSH);
    // At the end of its input s6-log drops an unfinished line; after TERM it does not.
    if (this.#logger.run && !this.#plan.containment && (await emptied(this.#fd, LONGEST_FLUSH))) {
      this.#logger.relieve();
      await Promise.race([ended, sleep(SHORT_WAIT)]);
    }
    closeSync(this.#fd);
    await ended;
    clearTimeout(limit);
    this.#logger.close();
  }
}
