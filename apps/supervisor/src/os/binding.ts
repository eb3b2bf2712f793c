/**
 * Where a daemon's processes bind sockets of their own (listen=path). Each run gets a directory that its account may write
 * to; what it binds there is linked into another that the account could write to and cannot reach, for whoever could put a
 * link at a published path could have the web server connect to anybody's socket (security.md 20).
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
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { basename, join } from "node:path";
import type { BindingPlace } from "../machine.ts";
import type { FileIdentity } from "./libc.ts";
import { makePassage, PASSAGE, requireShort } from "./socket.ts";
import { asUser } from "./tenant.ts";

/** Not a name that an owner can have. */
const TREE = ".bound";
const SOCKET = "socket";

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
}

/** The place for one daemon; its directories are there until `close`. */
export class Binding implements BindingPlace {
  readonly path: string;
  readonly #plan: BindingPlan;
  readonly #runs: string;
  readonly #published: string;

  /** @throws errno errors */
  constructor(plan: BindingPlan) {
    const { root, owner, name } = plan;
    this.#plan = plan;
    this.path = join(root, owner, `${name}.sock`);
    this.#runs = join(root, TREE, owner, name);
    this.#published = join(root, owner, `${name}.bound`);
    makePassage(root, plan.group, PASSAGE.root);
    makePassage(join(root, owner), plan.group, PASSAGE.owner);
    for (const path of [join(root, TREE), join(root, TREE, owner), this.#runs]) {
      makePassage(path, plan.group, PASSAGE.root);
    }
    makeOwned(this.#published, plan);
    rmSync(`${this.path}~`, { force: true });
    symlinkSync(`${basename(this.#published)}/${SOCKET}`, `${this.path}~`);
    renameSync(`${this.path}~`, this.path);
  }

  provide(run: number): string {
    const directory = join(this.#runs, String(run));
    const path = join(directory, SOCKET);
    requireShort(path);
    makeOwned(directory, this.#plan);
    within(directory, this.#plan.binder, (inside) => rmSync(join(inside, SOCKET), { force: true }));
    return path;
  }

  publish(run: number): boolean {
    const bound = join(this.#runs, String(run), SOCKET);
    try {
      return within(this.#published, this.#plan.binder, (inside) => {
        const fresh = join(inside, `${SOCKET}~`);
        rmSync(fresh, { force: true });
        // A link is not followed, and with this authority only what is the account's own can be linked to.
        linkSync(bound, fresh);
        const linked = lstatSync(fresh);
        if (!linked.isSocket() || linked.uid !== this.#plan.binder.uid) {
          rmSync(fresh);
          return false;
        }
        renameSync(fresh, join(inside, SOCKET));
        return true;
      });
    } catch {
      return false;
    }
  }

  clear(run: number): void {
    removeOwned(join(this.#runs, String(run)), this.#plan.binder);
  }

  close(): void {
    rmSync(this.path, { force: true });
    removeOwned(this.#published, this.#plan.binder);
    try {
      rmdirSync(this.#runs);
    } catch {
      // A run left something there, which is its account's.
    }
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

/** A directory that an account may write to, whose files belong to a group that may use them, and that others may not enter. */
const makeOwned = (path: string, { binder, group }: BindingPlan): void => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() && found.uid === binder.uid && found.gid === group && (found.mode & 0o7777) === MODE) return;
  if (found) removeOwned(path, { uid: found.uid, gid: found.gid, groups: [found.gid] });
  mkdirSync(path, { mode: 0o700 });
  const own = process.geteuid?.() ?? 0;
  chownSync(path, own, group);
  // Only a member of the group may set that bit where root has no power over files.
  asUser({ uid: own, gid: group, groups: [group] }, () => chmodSync(path, MODE));
  if (binder.uid !== own) chownSync(path, binder.uid, group);
};

const removeOwned = (path: string, owner: FileIdentity): void => {
  try {
    within(path, owner, (inside) => {
      rmSync(join(inside, SOCKET), { force: true });
      rmSync(join(inside, `${SOCKET}~`), { force: true });
    });
    rmdirSync(path);
  } catch {
    // What else its account has put there is in nobody's way.
  }
};
