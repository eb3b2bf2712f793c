/**
 * The copy of a daemon's file that its author edits: in a private directory and as the author, so that their editor never
 * touches a path of the owner's (docs/explanation/security.md#16).
 */
import { lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "@dmhost/client";
import { LONGEST_CONF_FILE } from "@dmhost/contract";
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
  /** A directory of its own, which only the caller may enter. */
  readonly directory: string;
  readonly path: string;
  /** What the editor was last given. */
  #given: string;
  /** What has become of a draft that cannot be read. */
  #loss = "";
  /** Where text of the author's lies that is written nowhere else. */
  #kept: string | undefined;
  /** Where it was put when the file had changed. */
  #yours: string | undefined;

  /** @param address what the daemon was called, for a name that the author knows again */
  constructor(address: string, text: string) {
    this.directory = mkdtempSync(join(tmpdir(), "dmctl-"));
    this.path = join(this.directory, `${address.replace(/[^\w.-]/g, "_")}.conf`);
    this.#given = text;
    writeFileSync(this.path, text, { mode: 0o600, flag: "wx" });
  }

  /**
   * Has the author edit it, and gives the text that they leave; undefined where that is what they were given.
   * @throws Failure of the editor, or, with the code of a wrong file, where its text cannot be that of a file
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
      throw wrong(`the text has ${bytes.length} bytes; a daemon's file has at most ${LONGEST_CONF_FILE}`);
    }
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw wrong(`line ${lineThatIsNotUtf8(bytes)} of the text is not UTF-8`);
    }
  }

  /** What the editor left, if that is a file. */
  #bytes(): Buffer | undefined {
    try {
      return readFileSync(this.path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#loss = code === "ENOENT" ? "is gone" : `is no file that can be read any more (${code})`;
      return undefined;
    }
  }

  /** Begins anew with what the file says by now, the author's text below it as comments; that is kept beside it, too. */
  rebase(theirs: string, own: string): void {
    this.#yours = `${this.path}.yours`;
    this.#kept = this.#yours;
    writeFileSync(this.#yours, own, { mode: 0o600 });
    this.#given = `${theirs}${theirs === "" || theirs.endsWith("\n") ? "" : "\n"}\n${DIVIDER}\n${commented(own)}`;
    writeFileSync(this.path, this.#given, { mode: 0o600 });
  }

  /** Where the author's text lies; undefined where they have not changed anything, or have taken it away. */
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
