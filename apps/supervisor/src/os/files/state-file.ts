/** Files that one supervisor writes for the next; valid only during the boot in which they were written. */
import { hash } from "node:crypto";
import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../../core/error-message.ts";
import type { InstanceRecord } from "../../engine/ports/records.ts";
import { codeOf } from "../kernel/error-code.ts";
import { exchangeFiles } from "../kernel/file-calls.ts";
import { processEpoch } from "../kernel/process-table.ts";
import { describeFormat, FORMAT, recordOfDesired, upgradeFrom } from "./record-format.ts";
import { readPlainFile } from "./whole-file.ts";

/** Bytes of the largest file that is read; the shim keeps copies of up to 16 KiB. */
const LARGEST = 64 * 1024;

const digestOf = (json: string): string => hash("sha256", json, "base64");

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
   * Writes a value, as JSON.stringify makes it JSON.
   * @param desired what releases of other formats read (desiredText)
   * @throws errno errors
   */
  write(owner: string, name: string, json: string, desired?: string): void {
    const path = this.#path(owner, name);
    const temporary = `${path}~`;
    const part = desired === undefined ? "" : `,"desired":${desired}`;
    const text = `{"format":${FORMAT},"epoch":"${this.#epoch}","digest":"${digestOf(json)}"${part},"value":${json}}`;
    try {
      // Overwrites the last but one: making and deleting a file each time costs ext4 more than everything else here.
      overwrite(temporary, text);
    } catch {
      makeDirectory(dirname(path));
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
   * The value that was written in this boot and pid namespace, in the present format; undefined for any other file
   * (docs/explanation/security.md#19).
   * @param report called for a file that is damaged, or of a newer format, with what is wrong
   * @param foreign called for a file of a newer format with what is known of it
   */
  read(
    owner: string,
    name: string,
    report: (problem: string) => void,
    foreign: (record: InstanceRecord) => void = () => undefined,
  ): unknown {
    let text: string;
    try {
      text = readPlainFile(this.#path(owner, name), LARGEST);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") report(`cannot be read: ${messageOf(error)}`);
      return undefined;
    }
    try {
      const { format, epoch, digest, value, desired } = JSON.parse(text) ?? {};
      const upgrade = upgradeFrom(format);
      if (!upgrade) {
        const known = epoch === this.#epoch ? recordOfDesired(desired) : undefined;
        report(describeFormat(format, known));
        if (known) foreign(known);
      } else if (digest !== digestOf(JSON.stringify(value))) report("is damaged: its digest is wrong");
      else if (epoch === this.#epoch) return upgrade(value);
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

/** Makes a directory, also in place of another file. @throws errno errors */
const makeDirectory = (path: string): void => {
  const options = { recursive: true, mode: 0o700 } as const;
  try {
    mkdirSync(path, options);
  } catch {
    rmSync(path, { force: true });
    mkdirSync(path, options);
  }
};

/** @throws errno errors where there is no such file, or none that can be overwritten; it follows no link */
const overwrite = (path: string, text: string): void => {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
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
