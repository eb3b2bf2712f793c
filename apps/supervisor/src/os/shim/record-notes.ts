/** Copies of records in the memory of the shim: they survive whatever happens to the files, and supervisors that cannot write. */
import type { ShimLink } from "./link.ts";

export class RecordNotes {
  readonly #link: ShimLink;
  /** Those of an earlier supervisor, until `forget`. */
  readonly #found: Map<string, Buffer>;

  constructor(link: ShimLink) {
    this.#link = link;
    this.#found = new Map(link.notes());
  }

  /** What an earlier supervisor wrote; undefined where it wrote nothing that can be read. */
  read(name: string): unknown {
    const bytes = this.#found.get(name);
    try {
      return bytes && JSON.parse(bytes.toString("utf8"));
    } catch {
      return undefined;
    }
  }
  /** Names of those of an earlier supervisor. */
  names(): readonly string[] {
    return [...this.#found.keys()];
  }
  write(name: string, value: unknown): void {
    this.#found.delete(name);
    this.#link.requests.note(name, Buffer.from(JSON.stringify(value)));
  }
  remove(name: string): void {
    this.#found.delete(name);
    this.#link.requests.note(name, Buffer.alloc(0));
  }
}
