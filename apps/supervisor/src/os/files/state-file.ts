/** Files that one supervisor writes for the next; valid only during the boot in which they were written. */
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
import { messageOf } from "../../core/error-message.ts";
import { codeOf } from "../kernel/error-code.ts";
import { exchangeFiles } from "../kernel/file-calls.ts";
import { processEpoch } from "../kernel/process-table.ts";

/** Increase it when the shape of the values changes. */
const FORMAT = 6;

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
   * Writes a value.
   * @throws errno errors
   */
  write(owner: string, name: string, value: unknown): void {
    const path = this.#path(owner, name);
    const temporary = `${path}~`;
    const text = JSON.stringify({ format: FORMAT, epoch: this.#epoch, digest: digestOf(value), value });
    try {
      // Overwrites the last but one: making and deleting a file each time costs ext4 more than everything else here.
      overwrite(temporary, text);
    } catch {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      rmSync(temporary, { recursive: true, force: true });
      writeFileSync(temporary, text, { mode: 0o600 });
    }
    try {
      exchangeFiles(temporary, path);
    } catch {
      renameSync(temporary, path);
    }
  }

  /**
   * The value that was written in this boot and pid namespace; undefined for any other file
   * (docs/explanation/security.md#19).
   * @param report called for a file that is damaged, or of another format, with what is wrong
   */
  read(owner: string, name: string, report: (problem: string) => void): unknown {
    let text: string;
    try {
      text = readFileSync(this.#path(owner, name), "utf8");
    } catch (error) {
      if (codeOf(error) !== "ENOENT") report(`cannot be read: ${messageOf(error)}`);
      return undefined;
    }
    try {
      const { format, epoch, digest, value } = JSON.parse(text) ?? {};
      if (format !== FORMAT) report(`has the format ${format} of another release, not ${FORMAT}`);
      else if (digest !== digestOf(value)) report("is damaged: its digest is wrong");
      else if (epoch === this.#epoch) return value;
    } catch {
      report("is damaged: it is no JSON");
    }
    return undefined;
  }

  /** Owners with files. */
  owners(): string[] {
    return entries(this.#directory);
  }

  /** Names of an owner's files. */
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
