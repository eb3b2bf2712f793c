import type { BudgetKey } from "../core/budget.ts";
import type { Parsed } from "../core/definition.ts";
import { type HostPattern, hostPattern } from "../core/hostname.ts";
import { type ImagePattern, imagePattern, OUTBOUND } from "../core/image.ts";
import {
  DEFAULT_SETTINGS,
  type HostRule,
  type ImageRule,
  type LimitRule,
  type PolicyRules,
  type Rule,
  type Subject,
} from "../core/policy-rules.ts";
import { suggestion } from "../core/suggestion.ts";
import { readShare } from "./budget-shares.ts";
import { FileProblems } from "./file-problems.ts";
import { type Line, readLines, trimmed } from "./lines.ts";
import { quoted } from "./quotation.ts";
import { isSharedByOwners, SETTINGS_KEYS, type SettingsDraft, setSetting, settingOf } from "./settings-keys.ts";

/** Longest policy file, in bytes: enough for some ten thousand owners. */
export const MAX_POLICY_FILE = 1_048_576;

/** Sections of the policy file; [can_run_as] is another name of [runs_as]. */
export const SECTIONS = ["settings", "runs_as", "can_run_as", "manages", "hosts", "limits", "images"] as const;
type Section = (typeof SECTIONS)[number];

const NAME = /^[^\s,:=@[\]]+$/;
const HOST = "a host name such as blog.example.org, or *. and a name for all below it";
const IMAGE = `an image such as php:8.4-fpm, php:* for all its versions, ghcr.io/david/*, or ${OUTBOUND}`;
const SUBJECT = "the name of a user, or @ and the name of a group";

/**
 * Reads the policy file (man/daemon-manager.conf.5.md#format). Sections may be repeated; their lines accumulate. Errors,
 * and then no value: an unknown section, a line before the first section, a header without `]`, an unknown, ill-formed or
 * repeated setting, a rule that is not `user: user, @group` or only its left side (in [hosts] `user: name, *.name`), a limit
 * that is not `user: key = value, key = value` or is set already, an image that is none, and text that readLines refuses. Warnings: a
 * line of [manages], [hosts] or [images] that grants nothing, a directory that all owners would share. Does not check that accounts exist.
 */
export function parsePolicy(text: string): Parsed<PolicyRules> {
  const file = new PolicyFile();
  for (const line of readLines(text, MAX_POLICY_FILE, file.problems) ?? []) file.read(line);
  return file.problems.parsed<PolicyRules>({
    settings: file.settings,
    runsAs: file.runsAs,
    manages: file.manages,
    limits: file.limits,
    hosts: file.hosts,
    images: file.images,
  });
}

/** The right side of a rule: what is between commas; nothing where it is blank. */
const listed = (text: string): string[] => (trimmed(text) === "" ? [] : text.split(",").map(trimmed));

class PolicyFile {
  readonly problems = new FileProblems();
  readonly settings: SettingsDraft = { ...DEFAULT_SETTINGS };
  readonly runsAs: Rule[] = [];
  readonly manages: Rule[] = [];
  readonly limits: LimitRule[] = [];
  /** Line of each key of [limits], by what stands before its `:`. */
  readonly #limitLines = new Map<string, Map<BudgetKey, number>>();
  readonly hosts: HostRule[] = [];
  readonly images: ImageRule[] = [];
  readonly #settingLines = new Map<string, number>();
  /** `none` before the first header; `unreadable` after an invalid one, whose lines are skipped. */
  #section: Section | "none" | "unreadable" = "none";

  read({ number, text }: Line): void {
    const comment = text.indexOf("#");
    const content = trimmed(comment < 0 ? text : text.slice(0, comment));
    if (content === "") return;
    if (content.startsWith("[")) {
      this.#section = this.#header(number, content);
      return;
    }
    switch (this.#section) {
      case "none":
        this.problems.error(
          number,
          `${quoted(content)} is before the first section: expected a section header such as [runs_as]`,
        );
        this.#section = "unreadable";
        return;
      case "settings":
        this.#setting(number, content);
        return;
      case "runs_as":
      case "can_run_as":
        this.#rule(number, content, this.runsAs);
        return;
      case "manages":
        this.#rule(number, content, this.manages);
        return;
      case "hosts":
        this.#hostRule(number, content);
        return;
      case "limits":
        this.#limit(number, content);
        return;
      case "images":
        this.#imageRule(number, content);
        return;
      case "unreadable":
        return;
    }
  }

  #header(line: number, content: string): Section | "unreadable" {
    const close = content.indexOf("]");
    if (close !== content.length - 1) {
      const wrong = close < 0 ? `the "]" is missing` : `nothing but a comment may follow "]"`;
      this.problems.error(line, `${wrong}: expected a section header such as [runs_as], found ${quoted(content)}`);
      return "unreadable";
    }
    const name = trimmed(content.slice(1, -1));
    const section = SECTIONS.find((known) => known === name);
    if (section !== undefined) return section;
    this.problems.error(line, `unknown section ${quoted(name)}: ${suggestion(name, SECTIONS)}`);
    return "unreadable";
  }

  #setting(line: number, content: string): void {
    const equals = content.indexOf("=");
    if (equals <= 0) {
      this.problems.error(line, `expected "setting = value", found ${quoted(content)}`);
      return;
    }
    const key = trimmed(content.slice(0, equals));
    const value = trimmed(content.slice(equals + 1));
    const field = settingOf(key);
    if (field === undefined) {
      const known = SETTINGS_KEYS.map((entry) => entry.key);
      this.problems.error(line, `unknown setting ${quoted(key)}: ${suggestion(key, known)}`);
      return;
    }
    const first = this.#settingLines.get(key);
    if (first !== undefined) {
      this.problems.error(line, `"${key}" is already set on line ${first}: expected it once`);
      return;
    }
    this.#settingLines.set(key, line);
    const expected = setSetting(this.settings, field, value);
    if (expected !== undefined) this.problems.error(line, `${key}: expected ${expected}, found ${quoted(value)}`);
    else if (isSharedByOwners(field, value)) {
      this.problems.warning(
        line,
        `${key}: all owners would share ${quoted(value)}: expected "~/" or "%username%" in it`,
      );
    }
  }

  /** Both sides of a rule; undefined, with an error, where the line has more. */
  #sides(line: number, content: string): { left: Subject | undefined; names: string[] } | undefined {
    const [leftText = "", rightText, ...more] = content.split(":");
    if (more.length > 0) {
      this.problems.error(line, `expected one ":", found ${more.length + 1} in ${quoted(content)}`);
      return undefined;
    }
    const left = this.#subject(line, trimmed(leftText), 'before the ":"');
    return {
      left,
      names: listed(rightText ?? ""),
    };
  }

  #hostRule(line: number, content: string): void {
    const sides = this.#sides(line, content);
    if (sides === undefined) return;
    const right: HostPattern[] = [];
    for (const name of sides.names) {
      const pattern = hostPattern(name);
      if (pattern !== undefined) right.push(pattern);
      else this.problems.error(line, `expected ${HOST}, between the commas after the ":", found ${quoted(name)}`);
    }
    if (sides.left === undefined || right.length < sides.names.length) return;
    if (right.length === 0) {
      this.problems.warning(
        line,
        `${quoted(content)} grants no host: expected "user: blog.example.org, *.example.net"`,
      );
    }
    this.hosts.push({ line, left: sides.left, right });
  }

  #rule(line: number, content: string, rules: Rule[]): void {
    const sides = this.#sides(line, content);
    if (sides === undefined) return;
    const { left, names } = sides;
    const right: Subject[] = [];
    for (const name of names) {
      const subject = this.#subject(line, name, 'between the commas after the ":"');
      if (subject !== undefined) right.push(subject);
    }
    if (left === undefined || right.length < names.length) return;
    if (rules === this.manages && right.length === 0) {
      this.problems.warning(line, `${quoted(content)} grants nothing: expected "user: user, @group"`);
    }
    rules.push({ line, left, right });
  }

  #limit(line: number, content: string): void {
    const colon = content.indexOf(":");
    if (colon < 0) {
      this.problems.error(line, `expected "user: key = value, key = value", found ${quoted(content)}`);
      return;
    }
    const who = trimmed(content.slice(0, colon));
    const left = this.#subjects(line, who);
    const amounts = new Map<BudgetKey, number>();
    const lines = this.#limitLines.get(who) ?? new Map<BudgetKey, number>();
    this.#limitLines.set(who, lines);
    for (const part of content
      .slice(colon + 1)
      .split(",")
      .map(trimmed)) {
      const read = readShare(part);
      if (typeof read === "string") {
        this.problems.error(line, read);
        continue;
      }
      const first = lines.get(read.key);
      lines.set(read.key, line);
      if (first === undefined) amounts.set(read.key, read.amount);
      else
        this.problems.error(line, `"${read.key}" of ${quoted(who)} is already set on line ${first}: expected it once`);
    }
    if (left !== undefined) this.limits.push({ line, left, amounts });
  }

  #imageRule(line: number, content: string): void {
    // The names have colons themselves.
    const colon = `${content}:`.indexOf(":");
    const left = this.#subjects(line, trimmed(content.slice(0, colon)));
    const names = listed(content.slice(colon + 1));
    const right: ImagePattern[] = [];
    const outbound = names.includes(OUTBOUND);
    for (const name of names.filter((each) => each !== OUTBOUND)) {
      const pattern = imagePattern(name);
      if (pattern !== undefined) right.push(pattern);
      else this.problems.error(line, `expected ${IMAGE}, between the commas after the ":", found ${quoted(name)}`);
    }
    if (right.length === 0 && !outbound) {
      this.problems.warning(line, `${quoted(content)} grants no image: expected "user: php:8.4-fpm, ghcr.io/david/*"`);
    }
    if (left !== undefined) this.images.push({ line, left, right, outbound });
  }

  #subjects(line: number, text: string): Subject | "everyone" | undefined {
    return text === "*" ? "everyone" : this.#subject(line, text, 'or *, before the ":"');
  }

  #subject(line: number, text: string, place: string): Subject | undefined {
    const kind = text.startsWith("@") ? "group" : "user";
    const name = kind === "group" ? text.slice(1) : text;
    if (NAME.test(name)) return { kind, name };
    this.problems.error(line, `expected ${SUBJECT}, ${place}, found ${quoted(text)}`);
    return undefined;
  }
}
