/** The supervisor's connections to its shim: requests, and the events of the runs and sockets that are followed. */
import type { Socket } from "node:net";
import { messageOf } from "../../core/error-message.ts";
import type { ShimRun } from "./objects.ts";
import { followShim, Shim } from "./shim.ts";
import { VERSIONS } from "./wire.ts";

/** For each reply, in ms. */
const TIMEOUT = 10_000;

export class ShimLink {
  readonly requests: Shim;
  /** Called when the shim has ended or left a request without a reply, or another supervisor has connected. */
  lost: (reason: string) => void = () => undefined;
  /** Runs that nobody follows, by name: an earlier supervisor has launched them. */
  readonly #found = new Map<string, ShimRun>();
  readonly #notes = new Map<string, Buffer>();
  readonly #held = { socket: new Set<string>(), fifo: new Set<string>() };
  readonly #followers = new Map<string, (run: ShimRun) => void>();
  readonly #clients = new Map<string, { readonly number: number; readonly came: () => void }>();
  readonly #events: Socket;
  #watches = 0;

  /** @throws errno errors where no shim listens at the path */
  constructor(path: string) {
    this.requests = new Shim(path, VERSIONS, TIMEOUT);
    this.requests.broken = (error) => this.lost(messageOf(error));
    for (const each of this.requests.list()) {
      if (each.kind === "run") this.#found.set(each.name, each);
      if (each.kind === "socket" || each.kind === "fifo") this.#held[each.kind].add(each.name);
      if (each.kind === "note") this.#notes.set(each.name, each.bytes);
    }
    this.#events = followShim(path, VERSIONS, {
      run: (run) => {
        const follower = this.#followers.get(run.name);
        if (follower) follower(run);
        else if (this.#found.has(run.name)) this.#found.set(run.name, run);
      },
      client: ({ name, watch }) => {
        const client = this.#clients.get(name);
        if (client === undefined || client.number !== watch?.number) return;
        this.#clients.delete(name);
        client.came();
      },
      ended: (error) => this.lost(error?.message ?? "it has closed the connection"),
    });
  }

  /** The runs of an earlier supervisor that nobody follows, as they are now. */
  found(): readonly ShimRun[] {
    return [...this.#found.values()];
  }
  /** One of these runs as it is now. */
  foundRun(name: string): ShimRun | undefined {
    return this.#found.get(name);
  }
  /** The notes of an earlier supervisor, by name. To be called once. */
  notes(): ReadonlyMap<string, Buffer> {
    const notes = new Map(this.#notes);
    this.#notes.clear();
    return notes;
  }
  /** Names of the sockets or FIFOs that an earlier supervisor has left and this one does not use. */
  unused(kind: "socket" | "fifo"): readonly string[] {
    return [...this.#held[kind]];
  }
  /** Whether one of these names is among them. */
  isUnused(kind: "socket" | "fifo", name: string): boolean {
    return this.#held[kind].has(name);
  }
  /** From now on this supervisor uses it. */
  readonly use = (kind: "socket" | "fifo", name: string): void => {
    this.#held[kind].delete(name);
  };

  /** Calls `changed` with each later state of a run; for one of an earlier supervisor with its state now first, in a later turn. */
  follow(name: string, changed: (run: ShimRun) => void): void {
    this.#followers.set(name, changed);
    const run = this.#found.get(name);
    if (run === undefined) return;
    this.#found.delete(name);
    setImmediate(() => changed(run));
  }
  /** Acknowledges the exit of a run: the shim forgets it. */
  forget(name: string): void {
    this.#followers.delete(name);
    this.#found.delete(name);
    this.requests.forget(name);
  }

  /** Calls `came` once, as soon as a client waits at a socket. */
  awaitClient(name: string, came: () => void): void {
    this.#watches += 1;
    this.#clients.set(name, { number: this.#watches, came });
    this.requests.watch(name, this.#watches);
  }
  /** Waits for no client any more. */
  ignoreClients(name: string): void {
    if (this.#clients.delete(name)) this.requests.unwatch(name);
  }

  /** Closes the connections: the shim waits for the next supervisor. */
  close(): void {
    this.lost = () => undefined;
    this.#events.destroy();
    this.requests.close();
  }
}
