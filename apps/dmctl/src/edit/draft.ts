/**
 * The copy of a daemon's file that its author edits, in a private directory and as the author, so that the editor never
 * touches a path of the owner's (docs/explanation/security.md#16).
 */
import { lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "@dmhost/client";
import { LONGEST_CONF_FILE } from "@dmhost/contract";
import { writeSize } from "@dmhost/supervisor/units";
import { runEditor } from "../child-program.ts";

const DIVIDER = "# Below is your own text, which was not written: take out of it what you want, and delete the rest.";

/** A text as comments. */
const commented = (text: string): string =>
  text
    .replace(/\r?\n$/, "")
    .split("\n")
    .map((line) => `# ${line}\n`)
    .join("");

/** The draft of one file. */
export class Draft {
  /** A new directory that only the caller may enter. */
  readonly directory: string;
  readonly path: string;
  /** The last text that the editor got. */
  #given: string;
  /** Why the draft cannot be read. */
  #loss = "";
  /** Path of the only copy of the author's text. */
  #kept: string | undefined;
  /** Path of that text after the file had changed. */
  #yours: string | undefined;

  /** @param address the daemon's name as the author wrote it, for the name of the draft */
  constructor(address: string, text: string) {
    this.directory = mkdtempSync(join(tmpdir(), "dmctl-"));
    this.path = join(this.directory, `${address.replace(/[^\w.-]/g, "_")}.conf`);
    this.#given = text;
    writeFileSync(this.path, text, { mode: 0o600, flag: "wx" });
  }

  /**
   * Runs the editor and resolves with the text that it leaves; undefined if that is unchanged.
   * @throws Failure of the editor, or invalid-file where the text cannot be a conf file
   */
  async edit(env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
    try {
      await runEditor(env, this.path, this.directory);
    } catch (error) {
      if (this.#bytes()?.equals(Buffer.from(this.#given)) === false) this.#kept = this.path;
      throw error;
    }
    const bytes = this.#bytes();
    if (bytes === undefined) throw new Failure("failed", `${this.path} ${this.#loss}, so nothing is written`);
    if (bytes.equals(Buffer.from(this.#given))) {
      this.#kept = this.#yours;
      return undefined;
    }
    this.#kept = this.path;
    if (bytes.length > LONGEST_CONF_FILE) {
      throw wrong(
        `the text has ${writeSize(bytes.length)}; a daemon's file has at most ${writeSize(LONGEST_CONF_FILE)}`,
      );
    }
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw wrong(`line ${lineThatIsNotUtf8(bytes)} of the text is not UTF-8`);
    }
  }

  /** The bytes that the editor left; undefined if there is no file. */
  #bytes(): Buffer | undefined {
    try {
      return readFileSync(this.path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#loss = code === "ENOENT" ? "is gone" : `cannot be read any more (${code})`;
      return undefined;
    }
  }

  /** Starts again with the file's present text and the author's text below as comments; saves the author's text beside it. */
  rebase(theirs: string, own: string): void {
    this.#yours = `${this.path}.yours`;
    this.#kept = this.#yours;
    writeFileSync(this.#yours, own, { mode: 0o600 });
    this.#given = `${theirs}${theirs === "" || theirs.endsWith("\n") ? "" : "\n"}\n${DIVIDER}\n${commented(own)}`;
    writeFileSync(this.path, this.#given, { mode: 0o600 });
  }

  /** Path of the author's text; undefined if nothing was changed, or the author removed it. */
  get kept(): string | undefined {
    const isText = (path: string | undefined) =>
      path !== undefined && lstatSync(path, { throwIfNoEntry: false })?.isFile();
    return [this.#kept, this.#yours].find(isText);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
    this.#kept = undefined;
    this.#yours = undefined;
  }
}

const wrong = (message: string): Failure => new Failure("invalid-file", message);

const NEWLINE = 10;

/** Number of the first line that is not UTF-8, the first being 1. */
const lineThatIsNotUtf8 = (bytes: Buffer): number => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let number = 1;
  for (let start = 0; start < bytes.length; number += 1) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return number;
    }
    start = end + 1;
  }
  return number;
};
