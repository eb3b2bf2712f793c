/** The daemons of a supervisor, by id and by owner. */
import type { Daemon } from "./daemon.ts";

export class DaemonTable {
  readonly #byId = new Map<string, Daemon>();
  readonly #byOwner = new Map<string, Map<string, Daemon>>();

  get(id: string): Daemon | undefined {
    return this.#byId.get(id);
  }

  /** Every daemon, in the order in which they were found. */
  all(): Daemon[] {
    return [...this.#byId.values()];
  }

  /** Those of one owner, in the order in which they were found. */
  of(owner: string): Daemon[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }

  add(daemon: Daemon): void {
    const { id, key } = daemon;
    this.#byId.set(id, daemon);
    const daemons = this.#byOwner.get(key.owner.name) ?? new Map<string, Daemon>();
    this.#byOwner.set(key.owner.name, daemons.set(id, daemon));
  }

  remove({ id, key }: Daemon): void {
    const owner = key.owner.name;
    const daemons = this.#byOwner.get(owner);
    daemons?.delete(id);
    if (daemons?.size === 0) this.#byOwner.delete(owner);
    this.#byId.delete(id);
  }
}
