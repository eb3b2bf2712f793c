/** Sockets at `<root>/<owner>/<name>.sock`, held by this supervisor or taken from runs of an earlier one. */
import { join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ProcessIdentity } from "../../engine/ports/runs.ts";
import type { BindDirectory, HeldSocket, Listeners, Sockets } from "../../engine/ports/sockets.ts";
import type { KnownAccounts } from "../accounts/known-accounts.ts";
import { OwnerBudgets } from "../kernel/owner-budgets.ts";
import type { Poller } from "../kernel/poller.ts";
import { findTree, isAlive, readProcesses } from "../kernel/process-table.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { Binding } from "./binding.ts";
import { Held } from "./held-socket.ts";
import { type ListeningSocket, openSocket, takeAway, takeSocket } from "./listening-socket.ts";

export interface PublishedSocketsOptions {
  /** Directory of all published sockets. */
  readonly root: string;
  readonly accounts: KnownAccounts;
  readonly poller: Poller;
  readonly snapshots: SocketSnapshots;
  /** Sockets that the program before this one left in this process: their paths and descriptors. */
  readonly inherited: Map<string, number>;
  readonly report: (daemon: string, problem: string) => void;
}

export class PublishedSockets implements Sockets {
  readonly #options: PublishedSocketsOptions;
  readonly #held = new Set<Held>();
  /** Publishing must not wait for a probe of another daemon's clients, so each has a budget. */
  readonly #publishing = new OwnerBudgets();
  readonly #counting = new OwnerBudgets();

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
    return new Binding({
      root,
      owner,
      name: key.name,
      group: accounts.groupId(group),
      binder: accounts.identity(binder),
      snapshots,
      processes: () => treesOf(leaders()),
      budget: this.#publishing.of(owner),
      counting: this.#counting.of(owner),
    });
  }

  removeStray(owner: string, name: string): void {
    const trouble = takeAway(join(this.#options.root, owner, `${name}.sock`));
    if (trouble !== undefined) this.#options.report(`${owner}/${name}`, `cannot remove its socket: ${trouble}`);
  }

  /** The held sockets, for another program in this process: their paths and descriptors. */
  handOver(): ReadonlyMap<string, number> {
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

  #hold({ owner, name }: DaemonKey, listening: ListeningSocket, fresh: boolean): Held {
    const socket = new Held(listening, fresh, this.#options.poller, (trouble) => {
      this.#held.delete(socket);
      if (trouble !== undefined) this.#options.report(`${owner.name}/${name}`, `cannot remove its socket: ${trouble}`);
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
