/** The first reading of the conf files: requests about some owners are answered before all daemons are known. */
import type { Supervisor } from "../engine/supervisor.ts";

export class Loading {
  readonly #supervisor: Pick<Supervisor, "rescan">;
  readonly #begun = new Set<string>();
  readonly #all = Promise.withResolvers<void>();
  #isOver = false;

  constructor(supervisor: Pick<Supervisor, "rescan">) {
    this.#supervisor = supervisor;
  }

  /** Resolves when the daemons of these owners are known, which are read at once; without owners, when all are. */
  async known(owners: readonly string[] | undefined): Promise<void> {
    if (this.#isOver) return;
    if (owners === undefined) return this.#all.promise;
    const missing = owners.filter((owner) => !this.#begun.has(owner));
    for (const owner of missing) this.#begun.add(owner);
    if (missing.length > 0) this.#supervisor.rescan(missing, false);
  }

  /** To be called when all daemons are known. */
  end(): void {
    this.#isOver = true;
    this.#all.resolve();
  }
}
