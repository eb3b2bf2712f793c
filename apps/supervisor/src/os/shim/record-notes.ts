/** Copies of records in the memory of the shim: they survive whatever happens to the files, and supervisors that cannot write. */
import type { ShimLink } from "./link.ts";

export class RecordNotes {
  readonly #link: ShimLink;
  /** Those of an earlier supervisor, until another is written. */
  readonly #found: Map<string, Buffer>;

  constructor(link: ShimLink) {
    this.#link = link;
    this.#found = new Map(link.notes());
  }

  /** What an earlier supervisor wrote; undefined where it wrote nothing, or no object. */
  read(name: string): object | undefined {
    const bytes = this.#found.get(name);
    try {
      const value: unknown = bytes && JSON.parse(bytes.toString("utf8"));
      return typeof value === "object" && value !== null ? value : undefined;
    } catch {
      return undefined;
    }
  }
  /** Names of those of an earlier supervisor. */
  names(): readonly string[] {
    return [...this.#found.keys()];
  }
  /** Writes the text of an object. @param failed called with an errno error, also later; then no text is left */
  write(name: string, text: string, failed: (error: unknown) => void): void {
    this.#found.delete(name);
    try {
      this.#link.requests.note(name, text, failed);
    } catch (error) {
      // It is longer than a request can be, and was not sent.
      this.remove(name);
      throw error;
    }
  }
  remove(name: string): void {
    this.#found.delete(name);
    this.#link.requests.note(name, "", () => undefined);
  }
}
