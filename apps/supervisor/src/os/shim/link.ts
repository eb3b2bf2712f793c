/** The supervisor's connections to its shim: requests, and the events of the runs and sockets that are followed. */
import type { Socket } from "node:net";
import { messageOf } from "../../core/error-message.ts";
import { nextRunName } from "./names.ts";
import type { ShimContainer, ShimFifo, ShimRun, ShimSocket } from "./objects.ts";
import type { ShimPlan } from "./plan.ts";
import { followShim, type Listening, Shim } from "./shim.ts";
import { VERSIONS } from "./wire.ts";

/** What the shim of a container is followed for. */
interface ContainerListener {
  /** It has sent a frame, here without its length. */
  forwarded(frame: Buffer): void;
  /** It has ended. */
  gone(): void;
}

/** For each reply, in ms. */
export const TIMEOUT = 10_000;

export class ShimLink {
  readonly requests: Shim;
  /** Called when the shim has ended or left a request without a reply, or another supervisor has connected. */
  lost: (reason: string) => void = () => undefined;
  /** Runs that nobody follows, by name: an earlier supervisor has launched them. */
  readonly #found = new Map<string, ShimRun>();
  /** Runs that the shim has launched by itself and that nobody follows yet. */
  readonly #begun = new Map<string, ShimRun>();
  /** Names of such runs of which no event has come. */
  readonly #expected = new Set<string>();
  readonly #notes = new Map<string, Buffer>();
  readonly #held = { socket: new Map<string, ShimSocket>(), fifo: new Map<string, ShimFifo>() };
  /** Sockets that a run has had. */
  readonly #shared = new Set<string>();
  /** Numbers of watches for a first client that an earlier supervisor began and nobody awaits, by socket. */
  readonly #watched = new Map<string, number>();
  readonly #followers = new Map<string, (run: ShimRun) => void>();
  readonly #clients = new Map<string, { readonly number: number; readonly came: () => void }>();
  /** Containers of an earlier supervisor that nobody follows, by name. */
  readonly #containers = new Map<string, ShimContainer>();
  readonly #containerListeners = new Map<string, ContainerListener>();
  readonly #events: Socket;
  #watches = 0;

  /**
   * @param timeout for each reply, in ms
   * @throws errno errors where no shim listens at the path; SilentShim; Error where it belongs to another account
   */
  constructor(path: string, timeout = TIMEOUT) {
    this.requests = new Shim(path, VERSIONS, timeout);
    for (const each of this.#list()) {
      if (each.kind === "run") this.#found.set(each.name, each);
      if (each.kind === "fifo") this.#held.fifo.set(each.name, each);
      if (each.kind === "socket") this.#findSocket(each);
      if (each.kind === "note") this.#notes.set(each.name, each.bytes);
      if (each.kind === "container") this.#containers.set(each.name, each);
    }
    this.requests.broken = (error) => this.lost(messageOf(error));
    for (const { name, next } of [...this.#found.values()]) if (next !== undefined) this.#hide(nextRunName(name));
    this.#events = followShim(path, VERSIONS, {
      run: (run) => this.#changed(run),
      client: ({ name, watch }) => {
        // Another watch finds the clients that wait then.
        if (this.#watched.get(name) === watch?.number) this.#watched.delete(name);
        const client = this.#clients.get(name);
        if (client === undefined || client.number !== watch?.number) return;
        this.#clients.delete(name);
        client.came();
      },
      container: (container) => {
        if (this.#containers.has(container.name)) this.#containers.set(container.name, container);
        this.#containerListeners.get(container.name)?.gone();
      },
      // Nobody has requested what an earlier supervisor's container sends.
      forwarded: (name, frame) => this.#containerListeners.get(name)?.forwarded(frame),
      ended: (error) => this.lost(error?.message ?? "it has closed the connection"),
    });
  }

  #list(): ReturnType<Shim["list"]> {
    try {
      return this.requests.list();
    } catch (error) {
      this.requests.close();
      throw error;
    }
  }

  /** A run that was launched after another one is found by means of that. */
  #hide(name: string): void {
    const run = this.#found.get(name);
    if (run) this.#begun.set(name, run);
    else this.#expected.add(name);
    this.#found.delete(name);
  }

  #changed(run: ShimRun): void {
    const { name, next } = run;
    const follower = this.#followers.get(name);
    const unfollowed = [this.#found, this.#begun].find((runs) => runs.has(name));
    const isNew = this.#expected.delete(name);
    if (next !== undefined && !this.#followers.has(nextRunName(name))) this.#hide(nextRunName(name));
    if (follower) follower(run);
    else if (unfollowed || isNew) (unfollowed ?? this.#begun).set(name, run);
  }

  #findSocket(socket: ShimSocket): void {
    const { name, shared, watch } = socket;
    this.#held.socket.set(name, socket);
    if (shared) this.#shared.add(name);
    if (watch === undefined) return;
    this.#watches = Math.max(this.#watches, watch.number);
    if (!watch.client) this.#watched.set(name, watch.number);
  }

  /** The runs of an earlier supervisor that nobody follows, as they are now. */
  found(): readonly ShimRun[] {
    return [...this.#found.values()];
  }
  /** One of these runs, or one that the shim has launched by itself, as it is now. */
  foundRun(name: string): ShimRun | undefined {
    return this.#found.get(name) ?? this.#begun.get(name);
  }
  /** Whether it is such a run, or one that the shim has launched by itself and of which no event has come. */
  isUnfollowed(name: string): boolean {
    return this.foundRun(name) !== undefined || this.#expected.has(name);
  }
  /** The runs after this one that the shim has launched by itself and that nobody follows, as they are now. */
  followers(name: string): readonly ShimRun[] {
    const next = this.#begun.get(nextRunName(name));
    return next ? [next, ...this.followers(next.name)] : [];
  }
  /** The notes of an earlier supervisor, by name. To be called once. */
  notes(): ReadonlyMap<string, Buffer> {
    const notes = new Map(this.#notes);
    this.#notes.clear();
    return notes;
  }
  /** Names of the sockets or FIFOs that an earlier supervisor has left and this one does not use. */
  unused(kind: "socket" | "fifo"): readonly string[] {
    return [...this.#held[kind].keys()];
  }
  /** Whether one of these names is among them. */
  isUnused(kind: "socket" | "fifo", name: string): boolean {
    return this.#held[kind].has(name);
  }
  /** One of these sockets, as it was when this supervisor connected. */
  unusedSocket(name: string): ShimSocket | undefined {
    return this.#held.socket.get(name);
  }
  /** From now on this supervisor uses it. */
  readonly use = (kind: "socket" | "fifo", name: string): void => {
    this.#held[kind].delete(name);
  };

  /** Launches a run; returns its pid. @throws errno errors */
  launch(name: string, plan: ShimPlan): number {
    for (const { kind, name: held } of plan.descriptors?.values() ?? []) if (kind === "socket") this.#shared.add(held);
    return this.requests.launch(name, plan);
  }
  /** See Shim.listen. @throws errno errors */
  listen(name: string, making: Listening, replace = false): ReturnType<Shim["listen"]> {
    const made = this.requests.listen(name, making, replace);
    if (made.isNew) {
      this.#shared.delete(name);
      this.#watched.delete(name);
    }
    return made;
  }
  /** Whether a run has had the socket: only programs change its queue and shut it down. */
  isShared(name: string): boolean {
    return this.#shared.has(name);
  }

  /** Calls `changed` with each later state of a run; for one of an earlier supervisor with its state now first, in a later turn. */
  follow(name: string, changed: (run: ShimRun) => void): void {
    this.#followers.set(name, changed);
    const run = this.foundRun(name);
    this.#unlist(name);
    if (run === undefined) return;
    setImmediate(() => changed(run));
  }
  /** Acknowledges the exit of a run: the shim forgets it. */
  forget(name: string): void {
    this.#followers.delete(name);
    this.#unlist(name);
    this.requests.forget(name);
  }
  #unlist(name: string): void {
    this.#found.delete(name);
    this.#begun.delete(name);
    this.#expected.delete(name);
  }

  /** The containers of an earlier supervisor that nobody follows. */
  foundContainers(): readonly ShimContainer[] {
    return [...this.#containers.values()];
  }
  /** From now on the shim of a container is followed. One that has ended before is reported in a later turn. */
  followContainer(name: string, listener: ContainerListener): void {
    const isGone = this.#containers.get(name)?.gone === true;
    this.#containers.delete(name);
    this.#containerListeners.set(name, listener);
    if (isGone) setImmediate(() => listener.gone());
  }
  /** Closes the connection to the shim of a container, which ends it. */
  closeContainer(name: string): void {
    this.#containers.delete(name);
    this.#containerListeners.delete(name);
    this.requests.release("container", name);
  }

  /** Calls `came` once, as soon as a client waits at a socket. */
  awaitClient(name: string, came: () => void): void {
    const found = this.#watched.get(name);
    this.#watched.delete(name);
    const number = found ?? this.#watches + 1;
    this.#clients.set(name, { number, came });
    if (found !== undefined) return;
    this.#watches = number;
    this.requests.watch(name, number);
  }
  /** Waits for no client any more. */
  ignoreClients(name: string): void {
    const wasFound = this.#watched.delete(name);
    if (this.#clients.delete(name) || wasFound) this.requests.unwatch(name);
  }

  /** Closes the connections: the shim waits for the next supervisor. */
  close(): void {
    this.lost = () => undefined;
    this.#events.destroy();
    this.requests.close();
  }
}
