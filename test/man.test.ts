/** What man pages and completion say of dmctl and of the files, against what the programs know. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DAEMON_STATES, EXIT, POLICY_VERBS, SIGNALS, VERSION } from "@dmhost/contract";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../apps/dmctl/src/commands/commands.ts";
import { helpFor, helpText } from "../apps/dmctl/src/commands/help.ts";
import { DAEMON_KEYS } from "../apps/supervisor/src/conf/daemon-keys.ts";
import { SECTIONS } from "../apps/supervisor/src/conf/policy-file.ts";
import { SETTINGS_KEYS } from "../apps/supervisor/src/conf/settings-keys.ts";

const root = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Markdown without its marks. */
const plain = (markdown: string): string => markdown.replace(/\\([-_])/g, "$1").replace(/[*`]/g, "");

/** The entries of a page's section, `term` + `:   text`: plain text, with the text's lines joined. */
const entries = (page: string, section: string): Map<string, string> => {
  const text =
    read(`man/${page}.md`)
      .split(/^# /m)
      .find((part) => part.startsWith(`${section}\n`)) ?? "";
  const found = text.matchAll(/^(\S.*)\n: {3}((?:.+\n)+)/gm);
  return new Map([...found].map(([, term = "", body = ""]) => [plain(term), plain(body).replace(/\s+/g, " ").trim()]));
};

/** The names that entries are about: `key = VALUE` without its value, `a, b` both. */
const names = (found: ReadonlyMap<string, string>): string[] =>
  [...found.keys()].flatMap((term) => term.replace(/ .*=.*/, "").split(", ")).sort();

const defaultOf = (text: string): string | undefined => /Default: (.+?)\.?$/.exec(text)?.[1];

const defaults = (found: ReadonlyMap<string, string>): Record<string, string | undefined> =>
  Object.fromEntries([...found].map(([term, text]) => [term.split(" ")[0], defaultOf(text)]));

const known = (keys: readonly { readonly key: string; readonly default: string | undefined }[]) =>
  Object.fromEntries(keys.map((entry) => [entry.key, entry.default]));

/** The rows of a list that help prints below its usage: what stands on their left. */
const leftOf = (help: string): string[] =>
  [...help.matchAll(/^ {2,6}(\S.*?) {2,}\S.*$/gm)].map(([, left = ""]) => left.trim());

const usageOf = (verb: string): string => /^usage: dmctl (.*)$/m.exec(helpFor(COMMANDS, verb))?.[1] ?? "";
const optionsOf = (verb: string): string[] => leftOf(helpFor(COMMANDS, verb));

describe("the pages", () => {
  test.each(readdirSync(join(root, "man")))("%s is named, numbered and dated by this version", (file) => {
    const [, name, section] = /^(.+)\.(\d)\.md$/.exec(file) ?? [];
    expect(read(`man/${file}`).split("\n\n")[0]?.split("\n")).toEqual([
      `title: ${name}`,
      `section: ${section}`,
      `source: dmhost ${VERSION}`,
      "volume: dmhost",
    ]);
    expect(read(`man/${file}`)).toMatch(new RegExp(`^# NAME\n\n${name} - `, "m"));
  });

  test("daemon.conf(5) has every key with its default, and no other", () => {
    expect(defaults(entries("daemon.conf.5", "KEYS"))).toEqual(known(DAEMON_KEYS));
  });

  test("daemon-manager.conf(5) has every setting with its default, and no other", () => {
    expect(defaults(entries("daemon-manager.conf.5", "SETTINGS"))).toEqual(known(SETTINGS_KEYS));
  });

  test("daemon-manager.conf(5) has every section, and no other", () => {
    expect(names(entries("daemon-manager.conf.5", "SECTIONS"))).toEqual(SECTIONS.map((name) => `[${name}]`).sort());
  });

  test("dmctl(1) has every command in the words of its help, and no other", () => {
    const found = [...entries("dmctl.1", "COMMANDS").keys()];
    expect(found).toEqual(COMMANDS.map(({ verb }) => usageOf(verb)));
  });

  test("dmctl(1) names every option of every command, and no other", () => {
    const found = [...entries("dmctl.1", "COMMANDS")].map(([term, text]) => {
      const listed = /Options: (.+)\.$/.exec(text)?.[1]?.split(", ") ?? [];
      return [term.split(/[ ,]/)[0], listed.sort()];
    });
    expect(found).toEqual(COMMANDS.map(({ verb, options }) => [verb, options.map((name) => `--${name}`).sort()]));
  });

  test("dmctl(1) has every option as help spells it, and no other", () => {
    const below = helpText(COMMANDS).split("\nOptions")[1] ?? "";
    expect([...entries("dmctl.1", "OPTIONS").keys()].sort()).toEqual(leftOf(below).sort());
  });

  test("dmctl(1) has every state, and no other", () => {
    expect(names(entries("dmctl.1", "STATES"))).toEqual([...DAEMON_STATES].sort());
  });

  test("dmctl(1) has every exit code, and no other; so has help", () => {
    const codes = Object.values(EXIT).map(String).sort();
    expect(names(entries("dmctl.1", "EXIT STATUS"))).toEqual(codes);
    const told = helpText(COMMANDS).split("Exit codes:")[1] ?? "";
    expect([...told.matchAll(/\b\d\b/g)].map(([code]) => code)).toEqual(codes);
  });

  test("dmctl(1) has every variable that dmctl reads, and no other", () => {
    const sources = readdirSync(join(root, "apps/dmctl/src")).filter((file) => /(?<!\.test|\.fake)\.ts$/.test(file));
    const used = sources.flatMap((file) => [...read(`apps/dmctl/src/${file}`).matchAll(/\benv\["(\w+)"\]/g)]);
    expect(names(entries("dmctl.1", "ENVIRONMENT"))).toEqual([...new Set(used.map(([, name = ""]) => name))].sort());
  });

  test("dmctl(1) and daemon-manager.conf(5) refer to pages that there are", () => {
    const pages = readdirSync(join(root, "man")).map((file) => file.replace(/\.(\d)\.md$/, "($1)"));
    for (const file of readdirSync(join(root, "man"))) {
      const referred = [...read(`man/${file}`).matchAll(/[\w.-]+\(\d\)/g)].map(([page]) => page);
      expect(referred.filter((page) => !pages.includes(page) && !["signal(7)", "svstat(8)"].includes(page))).toEqual(
        [],
      );
    }
  });
});

test("help of a command has its usage, what it does and all of its options", () => {
  for (const { verb, aliases = [], does, options } of COMMANDS) {
    for (const word of [verb, ...aliases]) {
      expect(helpFor(COMMANDS, word)).toContain(`\n\n${does}\n`);
      expect(optionsOf(word).map((left) => /--[a-z0-9]+/.exec(left)?.[0])).toEqual(options.map((name) => `--${name}`));
    }
  }
});

describe.each(["dmctl.bash", "_dmctl", "dmctl.fish"])("completion/%s", (file) => {
  const text = read(`completion/${file}`);

  test("knows every command, what it takes and its options, and no other", () => {
    const rows = text.matchAll(
      /^(?:\s+'([a-z0-9]+)\||([a-z0-9]+) )(none|optional|one|many|signal|question|sized|command)(?:[ |](.*))?$/gm,
    );
    const found = [...rows].map(([, quoted, bare, takes, rest = ""]) => [
      quoted ?? bare,
      takes,
      rest.match(/(?<=^|[ ])--[a-z0-9]+/g) ?? [],
    ]);
    const expected = COMMANDS.flatMap(({ verb, aliases = [], ids, signal, options }) =>
      [verb, ...aliases].map((word) => [word, signal ? "signal" : ids, options.map((name) => `--${name}`)]),
    );
    expect(found).toEqual(expected);
  });

  test("knows every signal and every question to the policy, and no other", () => {
    const words = text.replaceAll("\\\n", " ").replace(/\s+/g, " ");
    expect(words).toMatch(new RegExp(`[ ('=]${[...SIGNALS.keys()].join(" ")}[ )']`));
    expect(words).toMatch(new RegExp(`[ ('=]${Object.keys(POLICY_VERBS).join(" ")}[ )']`));
  });
});
