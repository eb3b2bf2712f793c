/** What one supervisor leaves for the next: a small file a daemon, trusted only on the boot that it was written on. */
import { hash } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { exchangeFiles } from "../kernel/libc.ts";
import { processEpoch } from "../kernel/process-table.ts";

/** Bumped when what is written changes its shape. */
const FORMAT = 5;

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
    const spare = `${path}~`;
    const text = JSON.stringify({ format: FORMAT, epoch: this.#epoch, digest: digestOf(value), value });
    try {
      // The one before last is written over: to make a file and delete another each time costs ext4 more than all the rest.
      overwrite(spare, text);
    } catch {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(spare, text, { mode: 0o600 });
    }
    try {
      exchangeFiles(spare, path);
    } catch {
      renameSync(spare, path);
    }
  }

  /**
   * What was written in this boot and pid namespace; undefined for anything else, damaged files too
   * (docs/explanation/security.md#19).
   */
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
    const path = this.#path(owner, name);
    rmSync(path, { force: true });
    rmSync(`${path}~`, { force: true });
  }
}

/** @throws ENOENT where there is no such file */
const overwrite = (path: string, text: string): void => {
  const fd = openSync(path, "r+");
  try {
    writeFileSync(fd, text);
    ftruncateSync(fd, Buffer.byteLength(text));
  } finally {
    closeSync(fd);
  }
};

const entries = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};
