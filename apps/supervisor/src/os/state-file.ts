/** What one supervisor leaves for the next: a small file a daemon, trusted only on the boot that it was written on. */
import { hash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { processEpoch } from "./process-table.ts";

/** Bumped when what is written changes its shape. */
const FORMAT = 4;

const digestOf = (value: unknown): string => hash("sha256", JSON.stringify(value), "base64");

/** Files `<directory>/<owner>/<name>.json`. */
export class StateFiles {
  readonly #directory: string;
  readonly #epoch = processEpoch();

  constructor(directory: string) {
    this.#directory = directory;
  }

  #path(owner: string, name: string): string {
    return join(this.#directory, owner, `${name}.json`);
  }

  /**
   * Writes what is to be known of a daemon.
   * @throws errno errors
   */
  write(owner: string, name: string, value: unknown): void {
    const path = this.#path(owner, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(`${path}~`, JSON.stringify({ format: FORMAT, epoch: this.#epoch, digest: digestOf(value), value }), {
      mode: 0o600,
    });
    renameSync(`${path}~`, path);
  }

  /** What was written in this boot and pid namespace; undefined for anything else, damaged files too (security.md 19). */
  read(owner: string, name: string): unknown {
    try {
      const { format, epoch, digest, value } = JSON.parse(readFileSync(this.#path(owner, name), "utf8"));
      return format === FORMAT && epoch === this.#epoch && digest === digestOf(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  /** Owners for whom something was written. */
  owners(): string[] {
    return entries(this.#directory);
  }

  /** Names of what was written for an owner. */
  list(owner: string): string[] {
    return entries(join(this.#directory, owner)).flatMap((file) =>
      file.endsWith(".json") ? file.slice(0, -".json".length) : [],
    );
  }

  remove(owner: string, name: string): void {
    rmSync(this.#path(owner, name), { force: true });
  }
}

const entries = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};
