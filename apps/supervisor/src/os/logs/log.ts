/**
 * A daemon's log: a FIFO that the daemon writes to and an s6-log, running as the owner, that reads it
 * (docs/explanation/architecture.md#a-log-line). The supervisor is not in the data path; it holds the FIFO open so
 * that no writer meets a missing reader.
 */
import { hash } from "node:crypto";
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { constants as system } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogLoss, LogPredecessor } from "../../engine/ports/logs.ts";
import type { ProcessIdentity, RawExit, RunNews } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { asUser } from "../accounts/as-user.ts";
import { type FileIdentity, mkfifo } from "../kernel/libc.ts";
import type { Poller } from "../kernel/poller.ts";
import { adopt, clear, launch, type Run } from "../processes/run.ts";
import { emptied, endLine } from "./last-line.ts";
import { Complaints } from "./logger-stderr.ts";
import { Overflow, type OverflowWatch } from "./overflow.ts";

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
  /** Who our own logger runs as, and where it writes; undefined for a tenant's program. */
  readonly destination: { readonly identity: FileIdentity; readonly directory: string } | undefined;
}

/** Where a tenant's logger runs. */
export interface LoggerContainment {
  /** Makes its cgroup, or finds it; undefined where there are none. */
  group(): string | undefined;
}

/** Loggers are started this far apart at least. In ms. */
const QUICK_END = 1000;
/** After this time one that lives is taken to do its work. In ms. */
const STEADY = 2000;
/** What whoever reads of a logger that ends at once should look at. */
const HINTS = {
  ours: "is its directory the owner's, and has it space?",
  theirs: "try it by hand as the account that it runs as",
} as const;
/** How long nobody must have written before a line that has no end is given one. In ms. */
const SILENCE = 250;
/** How long a logger that has been told to end, with nothing left to read, is waited for. In ms. */
const SHORT_WAIT = 100;
/** A logger gets this long to write what it has; its owner may have stopped it, or hold its FIFO open. In ms. */
const LONGEST_FLUSH = 3000;

/** Where the FIFOs lie, inside the run directory. */
export const fifoPath = (runDir: string, owner: string, name: string): string =>
  join(runDir, "logs", owner, `${name}.fifo`);

/** Where Debian has what runs s6-log's processors. */
const COMPRESSOR_SHELLS = ["/usr/bin/execlineb", "/usr/lib/execline/bin/execlineb", "/bin/execlineb"];

/**
 * Makes sure that a logger that compresses can: s6-log would wait for its compressor for ever.
 * @throws when what it needs is not installed
 */
export const requireCompressor = ({ argv }: LaunchPlan): void => {
  if (!argv.some((word) => word.startsWith("!")) || COMPRESSOR_SHELLS.some((path) => existsSync(path))) return;
  throw new Error("log-compress=yes needs the program execlineb; root can install the package execline");
};

const REFUSED: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENOENT"]);

/** Why nobody but whom a directory belongs to could have told what is wrong with it, in words. */
const whyUnwritable = (owner: string, directory: string, code: string): string => {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  const denied = `${owner} may not make files`;
  if (stats?.isSymbolicLink()) {
    return `${directory} is a link to ${readlinkSync(directory)}, in which ${denied} (${code}); put a directory there`;
  }
  if (stats && !stats.isDirectory()) return `${directory} is no directory; put one there`;
  return `${denied} in ${directory} (${code})`;
};

/**
 * Makes sure that a logger of this owner can make files in a directory: it could not tell the daemon's owner itself. A
 * full disk is no reason to refuse.
 * @throws Error that says what is wrong with it
 */
export const requireWritable = (owner: string, identity: FileIdentity, directory: string): void =>
  asUser(identity, () => {
    const probe = join(directory, `.${process.pid}~`);
    try {
      closeSync(
        openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600),
      );
      rmSync(probe, { force: true });
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (REFUSED.has(code)) throw new Error(whyUnwritable(owner, directory, code));
    }
  });

/** A log that is open: `fd` is what its daemon gets as output. */
export class Log {
  readonly fd: number;
  #plan: LogPlan;
  #signature: string | undefined;
  /** Whether the end of its logger is wanted. */
  #relieved = false;
  readonly #poller: Poller;
  readonly #report: (problem: string) => void;
  readonly #replaced: () => void;
  readonly #overflow: Overflow | undefined;
  readonly #watch: OverflowWatch;
  readonly #formerlyDropped: number;
  #logger: Run | undefined;
  /** What the logger, if it is this supervisor's, writes to its standard error. */
  #complaints: Complaints | undefined;
  /** Why the last logger ended though it was to go on; "" when there is one that works. */
  #trouble = "";
  #calm: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Resolves when the logger's first start has been tried; undefined when nothing of a former one is waited for. */
  #turn: Promise<void> | undefined;
  #closed: (() => void) | undefined;

  /**
   * Opens the FIFO and sees to it that a logger reads it, the former one where that still lives.
   * @throws errno errors when the FIFO cannot be made or opened
   */
  constructor(
    plan: LogPlan,
    former: LogPredecessor,
    { poller, overflows }: { readonly poller: Poller; readonly overflows: OverflowWatch },
    tells: { report(problem: string): void; replaced(): void },
  ) {
    this.#plan = plan;
    this.#poller = poller;
    this.#report = tells.report;
    this.#replaced = tells.replaced;
    makeFifo(plan);
    this.fd = openSync(plan.fifo, constants.O_RDWR | constants.O_NOFOLLOW);
    this.#formerlyDropped = former.dropped;
    this.#watch = overflows;
    if (plan.destination) {
      const watched = { fd: this.fd, ...plan.destination };
      this.#overflow = new Overflow(watched, former.dropped, { report: tells.report, counted: tells.replaced });
      overflows.add(this.#overflow);
    }
    const cgroup = plan.containment?.group();
    this.#logger = former.logger && adopt(former.logger, cgroup, this.#poller, this.#news(Date.now()));
    if (this.#logger) {
      if (former.signature !== this.signature) this.#relieve();
      return;
    }
    if (!plan.containment && !former.closed) {
      this.#start();
      return;
    }
    const { logger } = former;
    const cleared = new Promise<void>((resolve) =>
      logger && plan.containment ? clear(logger, cgroup, resolve) : resolve(),
    );
    this.#turn = Promise.all([former.closed, cleared]).then(() => this.#start());
  }

  /** Equal for loggers that write alike; undefined for a tenant's program, which nobody else can know. */
  get signature(): string | undefined {
    if (this.#plan.containment) return undefined;
    this.#signature ??= hash("sha256", JSON.stringify(this.#plan.logger(undefined).argv), "base64");
    return this.#signature;
  }

  /** What was not logged. */
  get loss(): LogLoss {
    const { lines, reason } = this.#overflow?.loss ?? { lines: this.#formerlyDropped, reason: "" };
    return { lines, reason: [reason, this.#trouble].filter((why) => why !== "").join("; ") };
  }

  /** Has the lines written by another logger from now on. */
  follow(logger: LaunchPlan): void {
    const before = this.signature;
    this.#plan = { ...this.#plan, logger: () => logger };
    this.#signature = undefined;
    if (this.signature !== before) this.#relieve();
  }

  /** Ends the logger at TERM, so between two lines; the next one takes over. */
  #relieve(): void {
    this.#relieved = true;
    this.#logger?.signal(system.signals.SIGTERM);
  }

  /** The logger where it is a tenant's program. */
  get tenants(): Run | undefined {
    return this.#plan.containment ? this.#logger : undefined;
  }

  /** The logger's process, for the next supervisor. */
  get logger(): ProcessIdentity | undefined {
    return this.#logger?.leader;
  }

  #start(): void {
    this.#retry = undefined;
    if (this.#closed) {
      this.#closed();
      return;
    }
    let input: number | undefined;
    try {
      // Not by its path, which may be gone, or another's by now.
      input = openSync(`/proc/self/fd/${this.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
      const cgroup = this.#plan.containment?.group();
      const plan = this.#plan.logger(cgroup);
      const { fifo, writer, destination } = this.#plan;
      this.#complaints ??= new Complaints(`${fifo}.errors`, destination?.identity.uid ?? writer.uid);
      const stdio = { input, output: "ignore", complaints: this.#complaints.fd } as const;
      this.#logger = launch(plan, stdio, cgroup, this.#news(Date.now()));
      this.#calm = setTimeout(() => {
        this.#trouble = "";
      }, STEADY).unref();
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      this.#report(this.#trouble);
      this.#retry = setTimeout(() => this.#start(), QUICK_END);
    } finally {
      if (input !== undefined) closeSync(input);
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
    clearTimeout(this.#calm);
    if (this.#closed) {
      this.#closed();
      return;
    }
    const age = Date.now() - begun;
    const early = age < QUICK_END && !this.#relieved;
    const words = this.#complaints?.last() || (exit?.report ?? "").trim().replaceAll("\n", ": ");
    if (!this.#relieved && (early || (exit?.code ?? 0) !== 0)) this.#trouble = this.#troubleOf(exit, early, words);
    this.#relieved = false;
    if (early) {
      const hint = this.#plan.containment ? HINTS.theirs : HINTS.ours;
      const code = exit?.code === undefined ? "" : ` with code ${exit.code}`;
      this.#report(`the logger ended at once${code}; ${hint} ${words}`.trim());
    }
    this.#retry = setTimeout(() => this.#start(), early ? QUICK_END - age : 0);
  }

  #troubleOf(exit: RawExit, early: boolean, words: string): string {
    const who = this.#plan.containment ? "log/run" : "its logger";
    const how = exit?.code !== undefined ? ` with code ${exit.code}` : exit ? ` by ${exit.signal}` : "";
    return `${who} ended${early ? " at once" : ""}${how}${words === "" ? "" : `: ${words}`}`;
  }

  /** Lets the logger write what it has, ends it and removes the FIFO. Its daemon must be gone. */
  async close(): Promise<void> {
    await this.#close();
    this.#complaints?.close();
    this.#complaints = undefined;
  }

  /**
   * Sees to it that a last line which its daemon did not end is logged all the same, before another run goes on with it.
   * @param idle whether no run of the daemon lives
   */
  async settle(idle: () => boolean): Promise<void> {
    await sleep(SILENCE);
    const isFine = () => idle() && !this.#closed && this.loss.reason === "";
    if (this.#plan.containment || !isFine() || !(await emptied(this.fd, LONGEST_FLUSH))) return;
    const logger = this.#logger;
    if (!logger || !isFine()) return;
    this.#relieve();
    await endLine(this.fd, logger.leader.pid, () => this.#logger === logger && isFine());
  }

  async #close(): Promise<void> {
    if (this.#overflow) this.#watch.remove(this.#overflow);
    clearTimeout(this.#calm);
    try {
      rmSync(this.#plan.fifo, { force: true, recursive: true });
    } catch (error) {
      this.#report(`cannot take its FIFO away: ${error instanceof Error ? error.message : error}`);
    }
    await this.#turn;
    clearTimeout(this.#retry);
    const ended = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    const end = () => (this.#plan.containment ? this.#logger?.kill() : this.#logger?.signal(system.signals.SIGKILL));
    const impatience = setTimeout(end, LONGEST_FLUSH);
    // At the mere end of its input s6-log forgets a line that has no end; after TERM it does not.
    if (this.#logger && !this.#plan.containment && (await emptied(this.fd, LONGEST_FLUSH))) {
      this.#relieve();
      await Promise.race([ended, sleep(SHORT_WAIT)]);
    }
    closeSync(this.fd);
    if (this.#logger) await ended;
    clearTimeout(impatience);
  }
}

const makeFifo = ({ fifo, writer }: LogPlan): void => {
  mkdirSync(dirname(fifo), { recursive: true, mode: 0o700 });
  const old = lstatSync(fifo, { throwIfNoEntry: false });
  if (old && !old.isFIFO()) rmSync(fifo, { force: true, recursive: true });
  // By its group a root without CAP_DAC_OVERRIDE opens it, too; no tenant is in that.
  if (!old?.isFIFO()) mkfifo(fifo, 0o660);
  if (lstatSync(fifo).uid !== writer.uid) chownSync(fifo, writer.uid, process.getegid?.() ?? 0);
};
