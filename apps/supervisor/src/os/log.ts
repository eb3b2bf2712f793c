/**
 * A daemon's log: a FIFO that the daemon writes to and an s6-log, running as the owner, that reads it (DESIGN decision 8).
 * The supervisor is not in the data path; it holds the FIFO open so that no writer meets a missing reader.
 */
import { chownSync, closeSync, constants, lstatSync, mkdirSync, openSync, rmSync } from "node:fs";
import { constants as system } from "node:os";
import { dirname, join } from "node:path";
import type { LaunchPlan } from "../core/launch.ts";
import type { RawExit, RunNews } from "../machine.ts";
import { type FileIdentity, mkfifo } from "./libc.ts";
import { adopt, clear, launch, type Run } from "./process.ts";
import { identify, type ProcessIdentity } from "./process-table.ts";
import type { Readiness } from "./readiness.ts";
import { asUser } from "./tenant.ts";

/** What a log is made of. */
export interface LogPlan {
  /** Path of the FIFO, in a directory that only root enters. */
  readonly fifo: string;
  /** Account that the daemon runs as: it owns the FIFO, so that the daemon can open /dev/stderr again. */
  readonly writer: { readonly uid: number };
  /** @param cgroup that the logger is to join, where it gets one */
  readonly logger: (cgroup: string | undefined) => LaunchPlan;
  /** For a logger that is a tenant's program, and is ended with all that it starts; undefined for our own. */
  readonly containment: LoggerContainment | undefined;
}

/** Where a tenant's logger runs. */
export interface LoggerContainment {
  /** Makes its cgroup, or finds it; undefined where there are none. */
  group(): string | undefined;
  /** Resolves when an earlier logger of the same daemon, and all that it started, has ended. */
  readonly free: Promise<void>;
}

/** After a logger that ended sooner than this, the next one waits as long. In ms. */
const QUICK_END = 1000;
/** What whoever reads of a logger that ends at once should look at. */
const HINTS = {
  ours: "is its directory the owner's, and has it space?",
  theirs: "try it by hand as the account that it runs as",
} as const;
/** A logger gets this long to write what it has; its owner may have stopped it, or hold its FIFO open. In ms. */
const LONGEST_FLUSH = 3000;

/** Where the FIFOs lie, inside the run directory. */
export const fifoPath = (runDir: string, owner: string, name: string): string =>
  join(runDir, "logs", owner, `${name}.fifo`);

const REFUSED: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENOENT"]);

/**
 * Makes sure that a logger with this identity can make files in a directory: it could not tell the daemon's owner itself.
 * A full disk is no reason to refuse.
 * @throws errno errors
 */
export const requireWritable = (identity: FileIdentity, directory: string): void =>
  asUser(identity, () => {
    const probe = join(directory, `.${process.pid}~`);
    try {
      closeSync(
        openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600),
      );
      rmSync(probe, { force: true });
    } catch (error) {
      if (REFUSED.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  });

/** A log that is open: `fd` is what its daemon gets as output. */
export class Log {
  readonly fd: number;
  readonly #plan: LogPlan;
  readonly #readiness: Readiness;
  readonly #report: (problem: string) => void;
  readonly #replaced: () => void;
  #logger: Run | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed: (() => void) | undefined;

  /**
   * Opens the FIFO and sees to it that a logger reads it, `former` where that one still lives.
   * @throws errno errors when the FIFO cannot be made or opened
   */
  constructor(
    plan: LogPlan,
    former: ProcessIdentity | undefined,
    readiness: Readiness,
    tells: { report(problem: string): void; replaced(): void },
  ) {
    this.#plan = plan;
    this.#readiness = readiness;
    this.#report = tells.report;
    this.#replaced = tells.replaced;
    makeFifo(plan);
    this.fd = openSync(plan.fifo, constants.O_RDWR | constants.O_NOFOLLOW);
    const begun = Date.now();
    const cgroup = plan.containment?.group();
    this.#logger = former && adopt(former, cgroup, this.#readiness, this.#news(begun));
    if (this.#logger) return;
    if (!plan.containment) {
      this.#start();
      return;
    }
    const cleared = new Promise<void>((resolve) => (former ? clear(former, cgroup, resolve) : resolve()));
    void Promise.all([plan.containment.free, cleared]).then(() => this.#start());
  }

  /** The logger's process, for the next supervisor. */
  get logger(): ProcessIdentity | undefined {
    return this.#logger && identify(this.#logger.leader.pid);
  }

  #start(): void {
    this.#retry = undefined;
    if (this.#closed) {
      this.#closed();
      return;
    }
    const input = openSync(this.#plan.fifo, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const cgroup = this.#plan.containment?.group();
      const plan = this.#plan.logger(cgroup);
      this.#logger = launch(plan, { input, output: "ignore" }, cgroup, this.#news(Date.now()));
    } catch (error) {
      this.#report(error instanceof Error ? error.message : String(error));
      this.#retry = setTimeout(() => this.#start(), QUICK_END);
    } finally {
      closeSync(input);
    }
    this.#replaced();
  }

  #news(begun: number): RunNews {
    const contained = this.#plan.containment !== undefined;
    let last: RawExit;
    return {
      waiting: () => undefined,
      launched: () => undefined,
      ready: () => undefined,
      exited: (exit) => {
        last = exit;
        if (contained) this.#logger?.kill();
        else this.#ended(exit, begun);
      },
      gone: () => {
        if (contained) this.#ended(last, begun);
      },
    };
  }

  #ended(exit: RawExit, begun: number): void {
    this.#logger = undefined;
    if (this.#closed) {
      this.#closed();
      return;
    }
    const early = Date.now() - begun < QUICK_END;
    if (early) {
      const hint = this.#plan.containment ? HINTS.theirs : HINTS.ours;
      const code = exit?.code === undefined ? "" : ` with code ${exit.code}`;
      this.#report(`the logger ended at once${code}; ${hint} ${exit?.report ?? ""}`.trim());
    }
    this.#retry = setTimeout(() => this.#start(), early ? QUICK_END : 0);
  }

  /** Lets the logger write what it has, ends it and removes the FIFO. Its daemon must be gone. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    rmSync(this.#plan.fifo, { force: true });
    const ended = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    closeSync(this.fd);
    if (!this.#logger) return;
    const end = () => (this.#plan.containment ? this.#logger?.kill() : this.#logger?.signal(system.signals.SIGKILL));
    const impatience = setTimeout(end, LONGEST_FLUSH);
    await ended;
    clearTimeout(impatience);
  }
}

const makeFifo = ({ fifo, writer }: LogPlan): void => {
  mkdirSync(dirname(fifo), { recursive: true, mode: 0o700 });
  const old = lstatSync(fifo, { throwIfNoEntry: false });
  if (old && !old.isFIFO()) rmSync(fifo, { force: true });
  // By its group a root without CAP_DAC_OVERRIDE opens it, too; no tenant is in that.
  if (!old?.isFIFO()) mkfifo(fifo, 0o660);
  if (lstatSync(fifo).uid !== writer.uid) chownSync(fifo, writer.uid, process.getegid?.() ?? 0);
};
