/**
 * Where a daemon's processes bind sockets themselves (listen=path). Each run has a directory that its account may write
 * to. The supervisor links what the run binds there into a second directory, which the account cannot reach: an account
 * that could put a link at a published path could connect the web server to any socket (docs/explanation/security.md#20).
 * All these directories are in one tree, which can be a file system by itself, so that filling it harms no other file
 * system.
 */
import { linkSync, lstatSync, readdirSync, renameSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { BindDirectory } from "../../engine/ports/sockets.ts";
import { excessIn } from "../files/directory-size.ts";
import { removeStaleFiles } from "../files/stale-files.ts";
import type { CpuBudget } from "../kernel/cpu-budget.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { fileNumber } from "../kernel/file-number.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { isListenedOn, requireSocketPath } from "../kernel/unix-socket.ts";
import { type ClientLook, type ClientProbe, hasClient, hasListener } from "./client-probe.ts";
import { isOwned, makeOwned, NEXT_SOCKET, removeOwned, SOCKET, within } from "./owned-directory.ts";
import { makeTraversable, TRAVERSABLE, unlinkSocket } from "./socket-directory.ts";

/** No owner can have these names. */
const TREE = ".bound";
const PUBLISHED = ".published";
/** Directories of former runs that one daemon may leave. */
const MOST_LEFT = 64;
/** How long clients may still arrive at a socket after another one was published. In ms. */
const ON_THE_WAY = 20;

interface BindOptions {
  /** Directory of all published sockets. */
  readonly root: string;
  readonly owner: string;
  readonly name: string;
  /** Group of those who may connect. */
  readonly group: number;
  /** The account that binds. */
  readonly binder: FileIdentity;
  readonly snapshots: SocketSnapshots;
  /** Processes of all runs of the daemon. */
  processes(): readonly ProcessIdentity[];
  /** Processor time for finding listeners. */
  readonly budget: CpuBudget;
  /** Processor time for measuring the owner's directories. */
  readonly measuring: CpuBudget;
}

/** The bind directories of one daemon; they exist until `close`. */
export class LinkedBindDirectory implements BindDirectory {
  readonly path: string;
  readonly #options: BindOptions;
  readonly #tree: string;
  readonly #runs: string;
  readonly #published: string;
  /** Numbers of the files that runs have bound (fileNumber), as far as they are known. */
  readonly #files = new Map<number, number>();
  /** The published run, the one before it, and when it was replaced, as far as they are known. */
  #current: number | undefined;
  #former: number | undefined;
  #replacedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** @throws errno errors */
  constructor(options: BindOptions) {
    const { root, owner, name, group } = options;
    this.#options = options;
    this.path = join(root, owner, `${name}.sock`);
    this.#tree = join(root, TREE);
    this.#runs = join(this.#tree, owner, name);
    this.#published = join(this.#tree, PUBLISHED, owner, name);
    makeTraversable(root, group, TRAVERSABLE.byAll);
    makeTraversable(join(root, owner), group, TRAVERSABLE.byGroup);
    rmSync(`${this.path}~`, { force: true });
    symlinkSync(join("..", TREE, PUBLISHED, owner, name, SOCKET), `${this.path}~`);
    renameSync(`${this.path}~`, this.path);
    try {
      this.#makeDirectories();
    } catch {
      // A launch tries again and reports why it fails: a full file system may have room by then.
    }
  }

  #makeDirectories(): void {
    const { owner, group } = this.#options;
    makeTraversable(this.#tree, group, TRAVERSABLE.byAll);
    makeTraversable(join(this.#tree, owner), group, TRAVERSABLE.byAll);
    makeTraversable(this.#runs, group, TRAVERSABLE.byAll);
    for (const path of [join(this.#tree, PUBLISHED), dirname(this.#published)])
      makeTraversable(path, group, TRAVERSABLE.byGroup);
    this.#makeOwned(this.#published);
  }

  provide(run: number): string {
    const directory = join(this.#runs, String(run));
    const path = join(directory, SOCKET);
    requireSocketPath(path);
    this.#makeDirectories();
    const left = readdirSync(this.#runs).length;
    if (left >= MOST_LEFT) {
      throw new Error(
        `${left} directories of former runs in ${this.#runs} hold files that cannot be removed; remove those files`,
      );
    }
    this.#files.delete(run);
    this.#putAside(directory);
    this.#makeOwned(directory);
    return path;
  }

  publish(run: number): boolean {
    const { budget } = this.#options;
    const bound = join(this.#runs, String(run), SOCKET);
    if (budget.balance <= 0) return false;
    try {
      const file = budget.charge(() => this.#link(bound));
      if (file === undefined) return false;
      this.#files.set(run, file);
      if (run !== this.#current) {
        this.#former = this.#current;
        this.#current = run;
        this.#replacedAt = performance.now();
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Replaces the published socket by a link to the bound one, if a process listens on that; returns its number. */
  #link(bound: string): number | undefined {
    const { binder, processes } = this.#options;
    const found = within(this.#published, binder, (inside) => {
      const next = join(inside, NEXT_SOCKET);
      rmSync(next, { force: true });
      // link(2) does not follow links, and as this account it can link only to the account's own files.
      linkSync(bound, next);
      const found = lstatSync(next);
      const file = fileNumber(found);
      return { file, listening: found.uid === binder.uid && this.#isListening(next, file) };
    });
    // Connecting would show it as well, but some daemons die of a client that does not wait for an answer.
    const listening = found.listening ?? hasListener(processes(), found.file) === true;
    return within(this.#published, binder, (inside) => {
      const next = join(inside, NEXT_SOCKET);
      if (listening) renameSync(next, join(inside, SOCKET));
      else rmSync(next);
      return listening ? found.file : undefined;
    });
  }

  /** Whether the file is a socket on which a process listens for streams; undefined where no snapshot can be had. */
  #isListening(path: string, file: number): boolean | undefined {
    if (!lstatSync(path).isSocket()) return false;
    const snapshot = this.#options.snapshots.recent();
    return snapshot?.supported === false ? isListenedOn(path) : snapshot?.to(file).listening;
  }

  /** How clients of a run are found. */
  probe(run: number): ClientProbe {
    return { look: (since) => this.#look(run, since) };
  }

  #look(run: number, since?: number): ClientLook {
    const file = this.#files.get(run) ?? this.#fileIn(join(this.#runs, String(run)));
    if (file === undefined) return () => false;
    if (run === this.#former && performance.now() - this.#replacedAt < ON_THE_WAY) return () => true;
    this.#files.set(run, file);
    return hasClient(this.#options.snapshots, file, since);
  }

  #fileIn(directory: string): number | undefined {
    try {
      return within(directory, this.#options.binder, (inside) => fileNumber(lstatSync(join(inside, SOCKET))));
    } catch {
      return undefined;
    }
  }

  excess(run: number): Promise<string | undefined> {
    return new Promise((resolve) => this.#options.measuring.inTurn(() => resolve(this.#excess(run))));
  }

  #excess(run: number): string | undefined {
    try {
      return within(join(this.#runs, String(run)), this.#options.binder, (inside) => excessIn(inside));
    } catch {
      // It was removed, or the supervisor lacks a resource for a moment: the next call tries again.
      return undefined;
    }
  }

  clear(run: number): void {
    this.#files.delete(run);
    this.#remove(join(this.#runs, String(run)));
  }

  close(): void {
    this.#closed = true;
    // Where this fails, the next run meets the file and reports it.
    unlinkSocket(this.path);
    removeOwned(this.#published, this.#options.binder);
    this.#removeRuns();
  }

  #removeRuns(): void {
    try {
      rmdirSync(this.#runs);
    } catch {
      // Stale files in it are still being removed, or cannot be.
    }
  }

  /** Makes room for a new directory. The old one may be a former run-as account's. */
  #putAside(path: string): void {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found) this.#remove(path, { uid: found.uid, gid: found.gid, groups: [found.gid] });
  }

  /** Removes a directory of the account's; stale files in it are removed later. */
  #remove(directory: string, owner = this.#options.binder): void {
    if (removeOwned(directory, owner)) return;
    // Another run can have the same number.
    const aside = `${directory}~${process.hrtime.bigint()}`;
    try {
      renameSync(directory, aside);
    } catch {
      // The next run that needs this path fails as well, and reports it.
      return;
    }
    removeStaleFiles(aside, owner, () => this.#closed && this.#removeRuns());
  }

  #makeOwned(path: string): void {
    const { binder, group } = this.#options;
    if (isOwned(path, binder, group)) return;
    this.#putAside(path);
    makeOwned(path, binder, group);
  }
}
