/**
 * Daemons that exited by request: their conf files are ignored until the next rescan by request. Their records stay until then, so
 * that the next supervisor ignores them as well.
 */
import { ownerOf } from "../core/daemon-key.ts";
import type { Daemon } from "./daemon.ts";
import type { Records } from "./ports/records.ts";

export class Exits {
  readonly #records: Pick<Records, "flush" | "removeAll">;
  readonly #ids = new Set<string>();

  constructor(records: Pick<Records, "flush" | "removeAll">) {
    this.#records = records;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** From now on its conf file is ignored, and it is dropped when it has stopped. */
  add(daemon: Daemon): void {
    this.#ids.add(daemon.id);
    daemon.removed = true;
    daemon.exited = true;
    daemon.remember();
  }

  /** Another request has overtaken its exit. */
  cancel(daemon: Daemon): void {
    this.#ids.delete(daemon.id);
    daemon.exited = false;
  }

  /** Forgets those of these owners. @param daemon finds those that have not been dropped yet */
  forget(owners: ReadonlySet<string>, daemon: (id: string) => Daemon | undefined): void {
    const ids = [...this.#ids].filter((id) => owners.has(ownerOf(id)));
    // What is written later would be found by the next supervisor.
    if (ids.length > 0) this.#records.flush();
    for (const id of ids) {
      const present = daemon(id);
      this.#ids.delete(id);
      if (present) {
        present.exited = false;
        present.remember();
      } else this.#records.removeAll(ownerOf(id), id.slice(ownerOf(id).length + 1));
    }
  }
}
