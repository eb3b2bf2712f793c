import { DEFAULTS, type Definition, isHeld, type Parsed } from "../core/definition.ts";
import type { Account } from "../core/policy-rules.ts";
import { suggestion } from "../core/suggestion.ts";
import { DAEMON_KEYS, type DefinitionDraft, EXPORT_KEY, type Field, fieldOf, setField } from "./daemon-keys.ts";
import { FileProblems } from "./file-problems.ts";
import { type Line, readLines, trimmed } from "./lines.ts";
import { quoted } from "./quotation.ts";
import { siteProblems } from "./site-keys.ts";
import { readStart } from "./start-line.ts";

/** Owner of a conf file. */
type Owner = Pick<Account, "uid">;

/** Longest conf file, in bytes (docs/explanation/security.md#2). */
export const MAX_DAEMON_FILE = 65_536;

/** Names under which variables pass through their reader (launch/env-reader.ts). */
const RESERVED = "DMHOST_VAR";
const EXPORT = /^export(?:[ \t]+(.*))?$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const KEY = /^[A-Za-z0-9_.-]+$/;

/**
 * Reads a conf file (man/daemon.conf.5.md#format). Errors, and then no value: a line that is not `key = value`, a
 * value that does not have the form of its key, a repeated key, neither `start` nor `image`, keys of a site that do not go together
 * (siteProblems), and text that readLines refuses. Warnings: an unknown key, a repeated `export` (the later value is used), a
 * quote in `start` that is never closed. Paths in the value keep their `~`.
 */
export function parseDaemonFile(text: string, owner?: Owner): Parsed<Definition> {
  return parseKeys(text, { ...DEFAULTS, start: "" }, new Map(), owner);
}

/**
 * Reads the lines of a conf file on top of given values.
 * @param given values of keys that no line sets
 * @param owner owner of the daemon; without one it is not root
 * @param judge finds an error in the complete draft
 * @param taken keys that may not be set here, with the reason; `start` among them is not required
 */
export function parseKeys(
  text: string,
  given: Definition,
  taken: ReadonlyMap<Field, string>,
  owner: Owner | undefined,
  judge: (draft: DefinitionDraft) => { readonly key: Field; readonly text: string } | undefined = () => undefined,
): Parsed<Definition> {
  const file = new DaemonFile(given, taken);
  const lines = readLines(text, MAX_DAEMON_FILE, file.problems);
  for (const line of lines ?? []) file.read(line);
  if (lines !== undefined && !file.seen.has("start") && !file.seen.has("image") && !taken.has("start")) {
    file.problems.error(0, 'there is no "start" line: expected one like "start = exec COMMAND"');
  }
  file.checkTogether();
  file.checkOwner(owner);
  const problem = judge(file.draft);
  if (problem) file.problems.error(file.seen.get(problem.key) ?? 0, `${problem.key}: ${problem.text}`);
  const site = siteProblems(file.draft, (key) => file.seen.get(key));
  for (const { line, text } of site.errors) file.problems.error(line, text);
  for (const { line, text } of site.warnings) file.problems.warning(line, text);
  return file.problems.parsed<Definition>({ ...file.draft, environment: file.environment });
}

class DaemonFile {
  readonly problems = new FileProblems();
  readonly draft: DefinitionDraft;
  readonly #taken: ReadonlyMap<Field, string>;
  readonly environment = new Map<string, string>();
  /** Line on which a field, or `export NAME`, was first set. */
  readonly seen = new Map<string, number>();

  constructor(given: Definition, taken: ReadonlyMap<Field, string>) {
    this.draft = { ...given };
    this.#taken = taken;
  }

  read({ number, text }: Line): void {
    const content = trimmed(text);
    if (content === "" || content.startsWith("#")) return;
    const equals = content.indexOf("=");
    const left = equals < 0 ? content : content.slice(0, equals);
    const key = trimmed(withoutComment(left));
    if (equals < 0 || withoutComment(left) !== left) {
      const expected = EXPORT.test(key) ? '"export NAME = value"' : '"key = value" or a comment';
      this.problems.error(number, `expected ${expected}, found ${quoted(key)}`);
      return;
    }
    const raw = content.slice(equals + 1);
    const exported = EXPORT.exec(key);
    if (exported !== null) this.#export(number, exported[1] ?? "", trimmed(withoutComment(raw)));
    else this.#set(number, key, raw);
  }

  #export(line: number, name: string, value: string): void {
    if (!VARIABLE.test(name)) {
      this.problems.error(line, `expected ${EXPORT_KEY.expected}, found the name ${quoted(name)}`);
      return;
    }
    if (name.startsWith(RESERVED)) {
      const why = `names that begin with ${RESERVED} are reserved for the launch`;
      this.problems.error(line, `expected another name than ${quoted(name)}: ${why}`);
      return;
    }
    if (name === "OPTIND" && !/^\d+$/.test(value)) {
      const expected = "a number, because /bin/sh does not start with any other value";
      this.problems.error(line, `export OPTIND: expected ${expected}, found ${quoted(value)}`);
      return;
    }
    const first = this.seen.get(`export ${name}`);
    if (first === undefined) this.seen.set(`export ${name}`, line);
    else this.problems.warning(line, `"export ${name}" is already set on line ${first}: the later value is used`);
    this.environment.set(name, value);
  }

  #set(line: number, key: string, raw: string): void {
    const field = fieldOf(key);
    if (field === undefined) {
      this.#unknown(line, key);
      return;
    }
    const taken = this.#taken.get(field);
    if (taken !== undefined) {
      this.problems.error(line, `${key}: not permitted here: ${taken}`);
      return;
    }
    const first = this.seen.get(field);
    if (first !== undefined) {
      this.problems.error(line, `"${key}" is already set on line ${first}: expected it once`);
      return;
    }
    this.seen.set(field, line);
    const value = field === "start" ? this.#start(line, raw) : trimmed(withoutComment(raw));
    const expected = setField(this.draft, field, value);
    if (expected !== undefined) this.problems.error(line, `${key}: expected ${expected}, found ${quoted(value)}`);
  }

  #start(line: number, raw: string): string {
    const { value, openQuote } = readStart(raw);
    if (openQuote !== undefined) {
      const advice = `a "#" after it starts no comment, and the shell will refuse the line; close it, or write \\${openQuote}`;
      this.problems.warning(line, `start: the quote ${openQuote} is never closed: ${advice}`);
    }
    return value;
  }

  /** Values that only root's own daemons may have. */
  checkOwner(owner: Owner | undefined): void {
    const { nice } = this.draft;
    if (nice === undefined || nice >= 0 || owner?.uid === 0) return;
    const expected = "a whole number from 0 to 19, because only root's own daemons may have one below 0";
    this.problems.error(this.seen.get("nice") ?? 0, `nice: expected ${expected}, found "${nice}"`);
  }

  /** Keys that do not go together. */
  checkTogether(): void {
    const { listen, ready } = this.draft;
    for (const [key, needs] of [
      ["ondemand", isHeld(listen)],
      ["instances", listen !== "path"],
    ] as const) {
      const line = this.seen.get(key);
      if (line === undefined || needs || this.draft[key] === DEFAULTS[key]) continue;
      const expected =
        key === "ondemand"
          ? "listen=fastcgi, systemd or http"
          : "another one, because each process would bind the socket";
      this.problems.error(line, `${key}: cannot be combined with listen=${listen}: expected ${expected}`);
    }
    this.#checkImage();
    if (this.draft.lock !== undefined && this.draft.instances > 1) {
      this.problems.error(
        this.seen.get("lock") ?? 0,
        "lock: only one process can hold the lock: expected instances=1, or no lock",
      );
    }
    if (ready === "fd:3" && (listen === "systemd" || listen === "http")) {
      this.problems.error(
        this.seen.get("ready") ?? 0,
        `ready: descriptor 3 is the socket of listen=${listen}: expected another`,
      );
    }
  }

  #checkImage(): void {
    const [network, chroot, listen] = ["network", "chroot", "listen"].map((key) => this.seen.get(key));
    if (!this.seen.has("image")) {
      if (network !== undefined) this.problems.warning(network, "network has no effect without image");
      return;
    }
    if (chroot !== undefined) {
      const why = "a container has its own root directory";
      this.problems.error(chroot, `chroot: cannot be combined with image, because ${why}: expected one of them`);
    }
    if (listen !== undefined && this.draft.listen === "path") {
      const why = "the directory of that socket is outside of the container";
      this.problems.error(
        listen,
        `listen=path: cannot be combined with image, because ${why}: expected another listen`,
      );
    }
  }

  #unknown(line: number, key: string): void {
    // A continued line of shell must not pass as an unknown key.
    if (!KEY.test(key)) this.problems.error(line, `expected a key, or "export NAME", before "=", found ${quoted(key)}`);
    else {
      const known = DAEMON_KEYS.map((entry) => entry.key);
      this.problems.warning(line, `unknown key ${quoted(key)} is ignored: ${suggestion(key, known)}`);
    }
  }
}

/** The text up to the first `#` after white space; quotes have no meaning here. */
function withoutComment(text: string): string {
  const comment = text.search(/[ \t]#/);
  return comment < 0 ? text : text.slice(0, comment);
}
