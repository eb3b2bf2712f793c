import { DEFAULTS, type Definition } from "../../core/definition.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ConfDirectories, ConfSource, FoundFile, FoundFiles } from "./conf-source.ts";

/** Conf files as values, by owner and name. */
export class FakeConfSource implements ConfSource {
  readonly #files = new Map<string, Map<string, FoundFile>>();
  readonly #watches = new Map<string, () => void>();
  #edition = 0;
  /** Whether directories can be listed. */
  complete = true;
  /** Thrown by `watch`. */
  watchError: Error | undefined;
  readonly problems: string[] = [];
  /** Files of an owner that are read at most. */
  most = Number.POSITIVE_INFINITY;
  /** Owners whose files cannot be read. */
  readonly unreadable = new Set<string>();
  /** The directories that were read or watched last, by owner. */
  readonly directories = new Map<string, ConfDirectories>();

  #of(owner: string): Map<string, FoundFile> {
    const files = this.#files.get(owner) ?? new Map<string, FoundFile>();
    this.#files.set(owner, files);
    return files;
  }

  /** Writes a valid conf file. */
  write(owner: string, name: string, definition: Partial<Definition> = {}): FoundFile {
    return this.put(owner, name, { definition: { ...DEFAULTS, start: "exec program", ...definition } });
  }

  /** Writes any conf file. */
  put(owner: string, name: string, file: Partial<FoundFile>): FoundFile {
    this.#edition += 1;
    const found: FoundFile = {
      name,
      kind: "conf",
      path: `/home/${owner}/.daemon-manager/daemons/${name}.conf`,
      definition: undefined,
      readable: true,
      errors: [],
      warnings: [],
      fingerprint: `edition ${this.#edition}`,
      ...file,
    };
    this.#of(owner).set(name, found);
    return found;
  }

  /** A conf file as it is now. */
  has(owner: string, name: string): FoundFile | undefined {
    return this.#of(owner).get(name);
  }
  remove(owner: string, name: string): void {
    this.#of(owner).delete(name);
  }

  /** The supervisor dies, and with it its watches. */
  die(): void {
    this.#watches.clear();
  }

  /** Whether an owner's directories are watched. */
  watches(owner: string): boolean {
    return this.#watches.has(owner);
  }

  forget(owner: string): void {
    this.#watches.delete(owner);
  }

  /** Reports a change of an owner's directories. */
  change(owner: string): void {
    this.#watches.get(owner)?.();
  }

  /** @throws Error where the owner's files cannot be read */
  #read({ name }: Account, directories: ConfDirectories): Map<string, FoundFile> {
    this.directories.set(name, directories);
    if (this.unreadable.has(name)) throw new Error("EIO: input/output error");
    return this.#of(name);
  }

  readAll(owner: Account, directories: ConfDirectories, first: ReadonlySet<string>): FoundFiles {
    const { problems, most, complete } = this;
    const rank = ({ name }: FoundFile): number => (first.has(name) ? 0 : 1);
    const files = [...this.#read(owner, directories).values()].sort((a, b) => rank(a) - rank(b));
    const skipped = files.slice(most).map(({ name }) => name);
    return { files: files.slice(0, most), skipped, problems, complete };
  }
  readOne(owner: Account, directories: ConfDirectories, name: string): FoundFile | undefined {
    return this.#read(owner, directories).get(name);
  }
  watch(owner: Account, directories: ConfDirectories, changed: () => void): void {
    this.directories.set(owner.name, directories);
    if (this.watchError) throw this.watchError;
    this.#watches.set(owner.name, changed);
  }
}
