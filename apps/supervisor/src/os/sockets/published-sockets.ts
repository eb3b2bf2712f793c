/** The port sockets: listening sockets at `<root>/<owner>/<name>.sock`, new or taken from runs of an earlier supervisor. */
import { join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { BindDirectory, HeldSocket, Listeners, Sockets } from "../../engine/ports/sockets.ts";
import type { KnownAccounts } from "../accounts/known-accounts.ts";
import { OwnerBudgets } from "../kernel/owner-budgets.ts";
import type { Poller } from "../kernel/poller.ts";
import { findTree, isAlive, readProcesses } from "../kernel/process-table.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { LinkedBindDirectory } from "./bind-directory.ts";
import { HeldListener } from "./held-socket.ts";
import { type ListeningSocket, openSocket } from "./listening-socket.ts";
import { unlinkSocket } from "./socket-directory.ts";
import { takeSocket } from "./take-socket.ts";

export interface PublishedSocketsOptions {
  /** Directory of all published sockets. */
  readonly root: string;
  readonly accounts: KnownAccounts;
  readonly poller: Poller;
  readonly snapshots: SocketSnapshots;
  /** Sockets that re-exec kept open in this process: descriptors by paths. */
  readonly inherited: Map<string, number>;
  readonly report: (daemon: string, problem: string) => void;
}

export class PublishedSockets implements Sockets {
  readonly #options: PublishedSocketsOptions;
  readonly #held = new Set<HeldListener>();
  /** Separate from the budgets of client probes, so that no probe delays publishing. */
  readonly #publishing = new OwnerBudgets();
  readonly #measuring = new OwnerBudgets();

  constructor(options: PublishedSocketsOptions) {
    this.#options = options;
  }

  open(key: DaemonKey, group: string, listeners: Listeners): HeldSocket {
    const taken = this.take(key, group, listeners);
    if (taken) return taken;
    const own = listeners.leaders.some(isAlive);
    return this.#hold(key, openSocket(this.#path(key), this.#options.accounts.groupId(group), own), true);
  }

  take(key: DaemonKey, group: string, listeners: Listeners): HeldSocket | undefined {
    const path = this.#path(key);
    const gid = this.#options.accounts.groupId(group);
    const taken = this.#inherit(path, gid) ?? takeFrom(listeners, path, gid);
    return taken && this.#hold(key, taken, false);
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

  /** The held sockets, to keep open across re-exec: descriptors by paths. */
  descriptors(): ReadonlyMap<string, number> {
    return new Map([...this.#held].map(({ path, descriptor }) => [path, descriptor]));
  }

  #path({ owner, name }: DaemonKey): string {
    return join(this.#options.root, owner.name, `${name}.sock`);
  }

  #inherit(path: string, gid: number): ListeningSocket | undefined {
    const fd = this.#options.inherited.get(path);
    this.#options.inherited.delete(path);
    return fd === undefined ? undefined : { fd, path, gid };
  }

  #hold({ owner, name }: DaemonKey, listening: ListeningSocket, fresh: boolean): HeldListener {
    const socket = new HeldListener(listening, fresh, this.#options.poller, (problem) => {
      this.#held.delete(socket);
      if (problem !== undefined) this.#options.report(`${owner.name}/${name}`, `cannot remove its socket: ${problem}`);
    });
    this.#held.add(socket);
    return socket;
  }
}

const takeFrom = ({ leaders, descriptor }: Listeners, path: string, gid: number): ListeningSocket | undefined => {
  for (const leader of leaders) {
    const socket = takeSocket(path, gid, leader, descriptor);
    if (socket) return socket;
  }
  return undefined;
};

const treesOf = (leaders: readonly ProcessIdentity[]): ProcessIdentity[] => {
  const snapshot = readProcesses();
  return leaders.flatMap((leader) => findTree(leader, [], snapshot));
};
