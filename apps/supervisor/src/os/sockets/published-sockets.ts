/** The port sockets: listening sockets at `<root>/<owner>/<name>.sock`, which the shim holds. */
import { lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { BindDirectory, HeldSocket, Sockets } from "../../engine/ports/sockets.ts";
import type { KnownAccounts } from "../accounts/known-accounts.ts";
import { OwnerBudgets } from "../kernel/owner-budgets.ts";
import { findTree, isAlive, readProcesses } from "../kernel/process-table.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { isListenedOn, requireSocketPath } from "../kernel/unix-socket.ts";
import type { ShimLink } from "../shim/link.ts";
import { daemonName } from "../shim/names.ts";
import { LinkedBindDirectory } from "./bind-directory.ts";
import { ShimHeldSocket } from "./held-socket.ts";
import { makeTraversable, TRAVERSABLE, unlinkSocket } from "./socket-directory.ts";

interface PublishedSocketsOptions {
  /** Directory of all published sockets. */
  readonly root: string;
  readonly link: ShimLink;
  readonly accounts: KnownAccounts;
  readonly snapshots: SocketSnapshots;
  readonly report: (daemon: string, problem: string) => void;
}

export class PublishedSockets implements Sockets {
  readonly #options: PublishedSocketsOptions;
  /** Separate from the budgets of client probes, so that no probe delays publishing. */
  readonly #publishing = new OwnerBudgets();
  readonly #measuring = new OwnerBudgets();

  constructor(options: PublishedSocketsOptions) {
    this.#options = options;
  }

  /** @throws errno errors; ENAMETOOLONG for a path of more than 107 bytes, EADDRINUSE where another program listens */
  open(key: DaemonKey, group: string, leaders: readonly ProcessIdentity[]): HeldSocket {
    const { link, accounts, root, report } = this.#options;
    const path = join(root, key.owner.name, `${key.name}.sock`);
    const name = daemonName(key);
    const gid = accounts.groupId(group);
    makeTraversable(dirname(dirname(path)), gid, TRAVERSABLE.byAll);
    makeTraversable(dirname(path), gid, TRAVERSABLE.byGroup);
    // It is published by another name first.
    requireSocketPath(`${path}~`);
    if (!link.isUnused("socket", name) && !leaders.some(isAlive)) requireUnused(path);
    return new ShimHeldSocket(link, name, path, gid, (problem) => report(name, problem));
  }

  openBindDirectory(
    key: DaemonKey,
    group: string,
    binder: Account,
    leaders: () => readonly ProcessIdentity[],
  ): BindDirectory {
    const { root, accounts, snapshots } = this.#options;
    const owner = key.owner.name;
    return new LinkedBindDirectory({
      root,
      owner,
      name: key.name,
      group: accounts.groupId(group),
      binder: accounts.identity(binder),
      snapshots,
      processes: () => treesOf(leaders()),
      budget: this.#publishing.of(owner),
      measuring: this.#measuring.of(owner),
    });
  }

  removeStray(owner: string, name: string): void {
    const problem = unlinkSocket(join(this.#options.root, owner, `${name}.sock`));
    if (problem !== undefined) this.#options.report(`${owner}/${name}`, `cannot remove its socket: ${problem}`);
  }

  removeStrays(isKnown: (daemon: string) => boolean): void {
    const { link, report } = this.#options;
    for (const name of link.unused("socket").filter((each) => !isKnown(each))) {
      link.use("socket", name);
      try {
        link.requests.release("socket", name);
      } catch (error) {
        report(name, `cannot remove its socket: ${messageOf(error)}`);
      }
    }
  }
}

/** @throws EADDRINUSE where a program listens at the path */
const requireUnused = (path: string): void => {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket() || !isListenedOn(path)) return;
  throw Object.assign(new Error(`EADDRINUSE: another program listens at ${path}; stop it`), { code: "EADDRINUSE" });
};

const treesOf = (leaders: readonly ProcessIdentity[]): ProcessIdentity[] => {
  const snapshot = readProcesses();
  return leaders.flatMap((leader) => findTree(leader, [], snapshot));
};
