/** Links and references in the documentation, and references to it in the code. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const GENERATED: ReadonlySet<string> = new Set(["node_modules", "dist"]);
/** Every file of the repository, relative to its root. */
const FILES = globSync("**", { cwd: root, withFileTypes: true, exclude: ({ name }) => GENERATED.has(name) })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  .filter((path) => !/^\.(git|cache)\//.test(path));
const PAGES = FILES.filter((path) => path.endsWith(".md"));
const SOURCES = FILES.filter((path) => !path.endsWith(".md") && !path.endsWith("package-lock.json"));

/** A page without its blocks and spans of code. */
const prose = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "code");

/** The anchor that a heading gets. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

const anchors = (page: string): ReadonlySet<string> => {
  const text = read(page).replace(/^```[\s\S]*?^```/gm, "");
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => slug(heading));
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id)]);
};

/** Why a link leads nowhere; undefined where it does not. `path` is relative to the root. */
const fault = (path: string, anchor: string | undefined): string | undefined => {
  if (!existsSync(join(root, path))) return `there is no ${path}`;
  if (anchor === undefined) return undefined;
  return path.endsWith(".md") && anchors(path).has(anchor) ? undefined : `${path} has no anchor "${anchor}"`;
};

const faultyLinks = (page: string): string[] =>
  [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const reason = fault(path === "" ? page : normalize(join(dirname(page), path)), anchor);
    return reason === undefined ? [] : [`${target}: ${reason}`];
  });

/** References such as `docs/decisions/0008` or `man/dmctl.1.md#status` in a text, without a glob or a variable. */
const references = (text: string): string[] =>
  [...text.matchAll(/(?<![\w/.-])(?:docs\/[a-z0-9][\w./-]*|man\/[\w.-]+\.md)(?:#[\w-]+)?/g)].map(([found]) =>
    found.replace(/\.$/, ""),
  );

const faultyReferences = (source: string): string[] =>
  references(read(source)).flatMap((reference) => {
    const [path = "", anchor] = reference.split("#");
    const [page = path] = /^docs\/decisions\/\d{4}$/.test(path) ? globSync(`${path}-*.md`, { cwd: root }) : [path];
    const reason = fault(page, anchor);
    return reason === undefined ? [] : [`${source}: ${reference}: ${reason}`];
  });

describe("the documentation", () => {
  test.each(PAGES)("links of %s lead to a file and an anchor that exist", (page) => {
    expect(faultyLinks(page)).toEqual([]);
  });

  test("the index of docs/ leads to every page of docs/", () => {
    const linked = [...read("docs/README.md").matchAll(/\]\(([^)#\s]+)/g)].map(([, path = ""]) =>
      normalize(join("docs", path)),
    );
    const expected = PAGES.filter(
      (page) => page.startsWith("docs/") && !/^docs\/(README|decisions\/\d.*)\.md$/.test(page),
    );
    expect(expected.filter((page) => !linked.includes(page))).toEqual([]);
  });

  test("the README has at most 400 words", () => {
    expect(read("README.md").match(/\S+/g)?.length).toBeLessThanOrEqual(400);
  });

  /** Whether the repository has this file, or a folder where the path ends with a slash. */
  const exists = (path: string): boolean =>
    [path, `apps/supervisor/src/${path}`].some((each) =>
      each.endsWith("/") ? FILES.some((file) => file.startsWith(each)) : FILES.includes(each),
    );
  const named = (text: string): string[] =>
    [...text.matchAll(/`((?:[\w.-]+\/)+|[\w./-]+\.(?:ts|sh|conf))`/g)].map(([, path = ""]) => path);

  test("the source files and folders that architecture.md names exist", () => {
    const paths = named(read("docs/explanation/architecture.md"));
    expect(paths.filter((path) => !exists(path))).toEqual([]);
    expect(paths.length).toBeGreaterThan(0);
  });

  test.each(["Where to find", "Where to add"])("each row of the table %s of architecture.md names a file", (title) => {
    const [, section = ""] = read("docs/explanation/architecture.md").split(`\n## ${title}\n`);
    const rows = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => /^\| (?!what )/.test(line));
    expect(rows.length).toBeGreaterThan(4);
    expect(rows.filter((row) => named(row).length === 0 && !row.endsWith("| see below |"))).toEqual([]);
  });
});

describe("the code", () => {
  test("comments that name a page of docs/ or man/ lead to a file and an anchor that exist", () => {
    const faults = SOURCES.filter((path) => path !== "test/links.test.ts").flatMap(faultyReferences);
    expect(faults).toEqual([]);
  });

  test("comments name no document that is not in the repository", () => {
    const strangers = SOURCES.filter(
      (path) => path !== "test/links.test.ts" && /\bDESIGN\b|\bspec\/[a-z]/.test(read(path)),
    );
    expect(strangers).toEqual([]);
  });
});

test("a heading's anchor is its words in lower case, joined by hyphens, without punctuation", () => {
  expect(slug("When is the new process ready?")).toBe("when-is-the-new-process-ready");
  expect(slug("SERVICE DIRECTORIES")).toBe("service-directories");
});
