/**
 * Where a daemon's processes bind sockets of their own (listen=path). Each run gets a directory that its account may
 * write to; what it binds there is linked into another that the account could write to and cannot reach, for whoever
 * could put a link at a published path could have the web server connect to anybody's socket
 * (docs/explanation/security.md#20). All of these are in one tree, which can be a file system of its own: what fills
 * it is in nobody else's way.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { ClientLook, ClientProbe, ProcessIdentity } from "../../engine/ports/runs.ts";
import type { BindDirectory } from "../../engine/ports/sockets.ts";
import { asUser } from "../accounts/as-user.ts";
import { excessIn } from "../files/directory-size.ts";
import { removeStaleFiles } from "../files/stale-files.ts";
import type { CpuBudget } from "../kernel/cpu-budget.ts";
import { type FileIdentity, isListenedOn } from "../kernel/libc.ts";
import { fileNumber, type SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { hasClient, hasListener } from "./client-probe.ts";
import { makePassage, PASSAGE, requireShort, takeAway } from "./listening-socket.ts";

/** Not names that an owner can have. */
const TREE = ".bound";
const PUBLISHED = ".published";
const SOCKET = "socket";
/** Directories of former runs that may be left in the place of one daemon. */
const MOST_LEFT = 64;
/** How long clients may be on their way to a socket that is not the published one any more. In ms. */
const ON_THE_WAY = 20;

/** What a place is made of. */
export interface BindingPlan {
  /** Directory of all published sockets. */
  readonly root: string;
  readonly owner: string;
  readonly name: string;
  /** Group of those who may connect. */
  readonly group: number;
  /** The account that binds. */
  readonly binder: FileIdentity;
  readonly snapshots: SocketSnapshots;
  /** Those of all the daemon's runs. */
  processes(): readonly ProcessIdentity[];
  /** Time that may go into looking for clients and listeners. */
  readonly budget: CpuBudget;
  /** Time that may go into counting what is in the directories of the owner's runs. */
  readonly counting: CpuBudget;
}

/** The place for one daemon; its directories are there until `close`. */
export class Binding implements BindDirectory {
  readonly path: string;
  readonly #plan: BindingPlan;
  readonly #tree: string;
  readonly #runs: string;
  readonly #published: string;
  /** Numbers of the files that runs have bound (fileNumber), as far as they are known. */
  readonly #files = new Map<number, number>();
  /** The run that is published, the one that was before it, and when they changed places; as far as it is known. */
  #current: number | undefined;
  #former: number | undefined;
  #switched = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** @throws errno errors */
  constructor(plan: BindingPlan) {
    const { root, owner, name, group } = plan;
    this.#plan = plan;
    this.path = join(root, owner, `${name}.sock`);
    this.#tree = join(root, TREE);
    this.#runs = join(this.#tree, owner, name);
    this.#published = join(this.#tree, PUBLISHED, owner, name);
    makePassage(root, group, PASSAGE.root);
    makePassage(join(root, owner), group, PASSAGE.owner);
    rmSync(`${this.path}~`, { force: true });
    symlinkSync(join("..", TREE, PUBLISHED, owner, name, SOCKET), `${this.path}~`);
    renameSync(`${this.path}~`, this.path);
    try {
      this.#makeDirectories();
    } catch {
      // A launch meets the same trouble, tells it and is tried again: room that others take up is not always missing.
    }
  }

  #makeDirectories(): void {
    const { owner, group } = this.#plan;
    makePassage(this.#tree, group, PASSAGE.root);
    makePassage(join(this.#tree, owner), group, PASSAGE.root);
    makePassage(this.#runs, group, PASSAGE.root);
    for (const path of [join(this.#tree, PUBLISHED), dirname(this.#published)]) makePassage(path, group, PASSAGE.owner);
    this.#makeOwned(this.#published);
  }

  provide(run: number): string {
    const directory = join(this.#runs, String(run));
    const path = join(directory, SOCKET);
    requireShort(path);
    this.#makeDirectories();
    const left = readdirSync(this.#runs).length;
    if (left >= MOST_LEFT) {
      throw new Error(
        `${left} directories of former runs are in ${this.#runs}, and what they left there cannot be removed; remove it`,
      );
    }
    this.#files.delete(run);
    this.#putAside(directory);
    this.#makeOwned(directory);
    return path;
  }

  publish(run: number): boolean {
    const { budget } = this.#plan;
    const bound = join(this.#runs, String(run), SOCKET);
    if (budget.balance <= 0) return false;
    try {
      const file = budget.charge(() => this.#put(bound));
      if (file === undefined) return false;
      this.#files.set(run, file);
      if (run !== this.#current) {
        this.#former = this.#current;
        this.#current = run;
        this.#switched = performance.now();
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Puts a link to what a run has bound in the place of the published one, if somebody listens there; gives its number. */
  #put(bound: string): number | undefined {
    const { binder, processes } = this.#plan;
    const found = within(this.#published, binder, (inside) => {
      const fresh = join(inside, `${SOCKET}~`);
      rmSync(fresh, { force: true });
      // A link is not followed, and with this authority only what is the account's own can be linked to.
      linkSync(bound, fresh);
      const found = lstatSync(fresh);
      const file = fileNumber(found);
      return { file, listening: found.uid === binder.uid && this.#isListening(fresh, file) };
    });
    // A visit would be answered, and there are daemons that die of a client who does not wait for that.
    const listening = found.listening ?? hasListener(processes(), found.file) === true;
    return within(this.#published, binder, (inside) => {
      const fresh = join(inside, `${SOCKET}~`);
      if (listening) renameSync(fresh, join(inside, SOCKET));
      else rmSync(fresh);
      return listening ? found.file : undefined;
    });
  }

  /** Whether somebody listens for streams on a socket, which is what this must be; undefined where they are too many to look. */
  #isListening(path: string, file: number): boolean | undefined {
    if (!lstatSync(path).isSocket()) return false;
    const snapshots = this.#plan.snapshots.recent();
    return snapshots?.told === false ? isListenedOn(path) : snapshots?.to(file).listening;
  }

  probe(run: number): ClientProbe {
    return { look: (since) => this.#look(run, since) };
  }
  #look(run: number, since?: number): ClientLook {
    const file = this.#files.get(run) ?? this.#fileIn(join(this.#runs, String(run)));
    if (file === undefined) return () => false;
    if (run === this.#former && performance.now() - this.#switched < ON_THE_WAY) return () => true;
    this.#files.set(run, file);
    return hasClient(this.#plan.snapshots, file, since);
  }

  #fileIn(directory: string): number | undefined {
    try {
      return within(directory, this.#plan.binder, (inside) => fileNumber(lstatSync(join(inside, SOCKET))));
    } catch {
      return undefined;
    }
  }

  excess(run: number): Promise<string | undefined> {
    return new Promise((resolve) => this.#plan.counting.inTurn(() => resolve(this.#excess(run))));
  }
  #excess(run: number): string | undefined {
    try {
      return within(join(this.#runs, String(run)), this.#plan.binder, (inside) => excessIn(inside));
    } catch {
      // It is not there any more, or the supervisor lacks something for a moment: the next look tells.
      return undefined;
    }
  }

  clear(run: number): void {
    this.#files.delete(run);
    this.#remove(join(this.#runs, String(run)));
  }

  close(): void {
    this.#closed = true;
    // Where something else is by now, the next run meets it, and tells.
    takeAway(this.path);
    removeSocket(this.#published, this.#plan.binder);
    this.#removeRuns();
  }

  #removeRuns(): void {
    try {
      rmdirSync(this.#runs);
    } catch {
      // What a run has left there is still being removed, or cannot be.
    }
  }

  /** Makes room for a new directory: a former account of the daemon's may have left anything in the one that is there. */
  #putAside(path: string): void {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found) return;
    this.#remove(path, { uid: found.uid, gid: found.gid, groups: [found.gid] });
  }

  /** Takes away a directory of the account's, its leavings not necessarily at once. */
  #remove(directory: string, owner = this.#plan.binder): void {
    if (removeSocket(directory, owner)) return;
    // Another run can have the same number.
    const aside = `${directory}~${process.hrtime.bigint()}`;
    try {
      renameSync(directory, aside);
    } catch {
      // Whoever needs the place will meet the same trouble, and tell it.
      return;
    }
    removeStaleFiles(aside, owner, () => this.#closed && this.#removeRuns());
  }

  /** A directory that the account may write to, whose files belong to a group that may use them, and that others may not enter. */
  #makeOwned(path: string): void {
    const { binder, group } = this.#plan;
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory() && found.uid === binder.uid && found.gid === group && (found.mode & 0o7777) === MODE)
      return;
    this.#putAside(path);
    mkdirSync(path, { mode: 0o700 });
    const own = process.geteuid?.() ?? 0;
    chownSync(path, own, group);
    // Only a member of the group may set that bit where root has no power over files.
    asUser({ uid: own, gid: group, groups: [group] }, () => chmodSync(path, MODE));
    if (binder.uid !== own) chownSync(path, binder.uid, group);
  }
}

/** Works in a directory that its owner may not be able to reach, with the authority of the owner. */
const within = <T>(
  directory: string,
  owner: FileIdentity,
  work: (inside: string) => T extends PromiseLike<unknown> ? never : T,
): T => {
  const fd = openSync(directory, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    return asUser(owner, () => work(`/proc/self/fd/${fd}`)) as T;
  } finally {
    closeSync(fd);
  }
};
const O_PATH = 0o10000000;

const MODE = 0o2710;

/** Removes a directory of an account's with the socket in it; false where there is more in it. */
const removeSocket = (path: string, owner: FileIdentity): boolean => {
  try {
    within(path, owner, (inside) => {
      for (const name of [SOCKET, `${SOCKET}~`]) removeFile(join(inside, name));
    });
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
};

const removeFile = (path: string): void => {
  try {
    unlinkSync(path);
  } catch {
    // It is not there, or a directory: then there is more to remove.
  }
};
