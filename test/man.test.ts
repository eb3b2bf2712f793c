/** The man pages against what the programs know. test/generated.test.ts compares what is generated. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DAEMON_STATES, VERSION } from "@dmhost/contract";
import { describe, expect, test } from "vitest";
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

describe("man", () => {
  test.each(readdirSync(join(root, "man")))("%s has the name, section and version of its page", (file) => {
    const [, name, section] = /^(.+)\.(\d)\.md$/.exec(file) ?? [];
    expect(read(`man/${file}`).split("\n\n")[0]?.split("\n")).toEqual([
      `title: ${name}`,
      `section: ${section}`,
      `source: dmhost ${VERSION}`,
      "volume: dmhost",
    ]);
    expect(read(`man/${file}`)).toMatch(new RegExp(`^# NAME\n\n${name} - `, "m"));
  });

  test("daemon.conf(5) has every key with its default, and no other key", () => {
    expect(defaults(entries("daemon.conf.5", "KEYS"))).toEqual(known(DAEMON_KEYS));
  });

  test("daemon-manager.conf(5) has every setting with its default, and no other setting", () => {
    expect(defaults(entries("daemon-manager.conf.5", "SETTINGS"))).toEqual(known(SETTINGS_KEYS));
  });

  test("daemon-manager.conf(5) has every section of the file, and no other section", () => {
    expect(names(entries("daemon-manager.conf.5", "SECTIONS"))).toEqual(SECTIONS.map((name) => `[${name}]`).sort());
  });

  test("dmctl(1) has every state of a daemon, and no other state", () => {
    expect(names(entries("dmctl.1", "STATES"))).toEqual([...DAEMON_STATES].sort());
  });

  test("dmctl(1) has every environment variable that dmctl reads, and no other variable", () => {
    const sources = readdirSync(join(root, "apps/dmctl/src"), { recursive: true, encoding: "utf8" }).filter((file) =>
      /(?<!\.test|\.fake)\.ts$/.test(file),
    );
    const used = sources.flatMap((file) => [...read(`apps/dmctl/src/${file}`).matchAll(/\benv\["(\w+)"\]/g)]);
    expect(names(entries("dmctl.1", "ENVIRONMENT"))).toEqual([...new Set(used.map(([, name = ""]) => name))].sort());
  });

  test("the man pages refer to no page that does not exist", () => {
    const pages = readdirSync(join(root, "man")).map((file) => file.replace(/\.(\d)\.md$/, "($1)"));
    for (const file of readdirSync(join(root, "man"))) {
      const referred = [...read(`man/${file}`).matchAll(/[\w.-]+\(\d\)/g)].map(([page]) => page);
      expect(referred.filter((page) => !pages.includes(page) && !["signal(7)", "svstat(8)"].includes(page))).toEqual(
        [],
      );
    }
  });
});
