import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Hostname, hostname } from "../core/hostname.ts";
import { APPS, type App, type IndexName, indexName, type Site, type SitePath, sitePath } from "../core/site.ts";
import { renderSite } from "./vhost.ts";

/** A directive as Nginx reads it: its words, and what stands between its braces. */
interface Directive {
  readonly words: readonly string[];
  readonly block: readonly Directive[] | undefined;
}

/** Reads Nginx's configuration by the rules of ngx_conf_read_token; throws where Nginx would refuse it. */
const read = (text: string): Directive[] => {
  let at = 0;
  const directives = (isInner: boolean): Directive[] => {
    const found: Directive[] = [];
    for (let words: string[] = []; ; ) {
      while (/\s/.test(text[at] ?? "")) at += 1;
      const c = text[at];
      if (c === undefined || c === "}") {
        if (words.length > 0 || (c === undefined) === isInner) throw new Error(`unexpected end at ${at}`);
        at += 1;
        return found;
      }
      at += 1;
      if (c === "#") {
        while (at < text.length && text[at] !== "\n") at += 1;
      } else if (c === ";" || c === "{") {
        if (words.length === 0) throw new Error(`unexpected ${c}`);
        found.push({ words, block: c === "{" ? directives(true) : undefined });
        words = [];
      } else words.push(c === '"' || c === "'" ? quoted(c) : bare(c));
    }
  };
  const quoted = (quote: string): string => {
    let word = "";
    for (;;) {
      const c = text[at];
      if (c === undefined) throw new Error("a quote without an end");
      at += 1;
      if (c === quote) break;
      if (c === "\\" && /["'\\ \t\r\n]/.test(text[at] ?? "")) word += text[at++];
      else if (c === "\\" && /[trn]/.test(text[at] ?? "")) word += `<${text[at++]}>`;
      else word += c;
    }
    if (!/[\s;{)]/.test(text[at] ?? "")) throw new Error(`unexpected ${text[at]} after a quote`);
    return word;
  };
  const bare = (first: string): string => {
    let word = first;
    while (at < text.length && !/[\s;{]/.test(text[at] ?? "")) word += text[at++];
    return word;
  };
  return directives(false);
};

const path = (text: string): SitePath => sitePath(text) as SitePath;
const HOSTS = ["blog.example.org", "www.blog.example.org"].map((name) => hostname(name) as Hostname);
const common = { id: "alice/blog", hosts: HOSTS, maxBody: 1 << 20, logs: path("/var/log/sites/alice") };
const places = { docroot: path("/home/alice/www"), socket: path("/run/fastcgi/alice/blog.sock") };
const index = ["index.html", "app.php"].flatMap((name) => indexName(name) ?? []);

const siteOf = (
  app: App,
  change: Partial<Record<"id" | "docroot" | "socket" | "index" | "logs", unknown>> = {},
): Site => ({ ...common, ...places, index, app, ...change }) as Site;

const named = (directives: readonly Directive[], name: string): Directive[] =>
  directives.filter(({ words }) => words[0] === name);

describe.each(APPS)("app=%s", (app) => {
  const text = renderSite("alice", siteOf(app));
  const top = read(text);
  const servers = named(top, "server");

  it("a vhost has one server per host, each with its name, logs and limit, and follows no foreign link", () => {
    expect(servers.map(({ block = [] }) => named(block, "server_name")[0]?.words[1])).toEqual(HOSTS);
    for (const [at, { block = [] }] of servers.entries()) {
      const first = (name: string) => named(block, name)[0]?.words.slice(1);
      expect(first("access_log")).toEqual([`/var/log/sites/alice/${HOSTS[at]}.access.log`, "site"]);
      expect(first("error_log")).toEqual([`/var/log/sites/alice/${HOSTS[at]}.error.log`, "warn"]);
      expect(first("client_max_body_size")).toEqual(["1048576"]);
      expect(first("disable_symlinks")).toEqual(["if_not_owner"]);
      expect(first("root")).toEqual(["/home/alice/www"]);
      expect(first("include")).toEqual(["listen.conf"]);
      expect(first("set")).toEqual(["$site_owner", "alice"]);
    }
  });

  it("a vhost names its socket twice, if it has one", () => {
    const upstreams = named(top, "upstream");
    expect(upstreams.length).toBe(app === "static" ? 0 : 1);
    for (const { block = [] } of upstreams) {
      expect(block.map(({ words }) => words)).toEqual(
        Array(2).fill(["server", "unix:/run/fastcgi/alice/blog.sock", "max_fails=0"]),
      );
    }
  });

  it("a vhost passes every answer of the application through, and sends Retry-After when there is none", () => {
    if (app === "static") expect(text).not.toMatch(/_intercept_errors|_pass/);
    else expect(text).toContain(`${app === "http" ? "proxy" : "fastcgi"}_intercept_errors off;`);
    expect(text).toContain("error_page 502 503 504 =503 @unavailable;");
    expect(text).toContain("add_header Retry-After 5 always;");
    expect(text).not.toContain("non_idempotent");
  });
});

it("with app=php the first .php of index handles requests that match no file", () => {
  expect(renderSite("alice", siteOf("php"))).toContain("try_files $uri $uri/ /app.php?$args;");
  expect(renderSite("alice", siteOf("php", { index: ["php.html", "app.php"] }))).toContain("/app.php?$args;");
  expect(renderSite("alice", siteOf("php", { index: ["index.html"] }))).toContain("try_files $uri $uri/ =404;");
});

it("an application without a docroot handles all requests", () => {
  const text = renderSite("alice", siteOf("http", { docroot: undefined }));
  expect(text).not.toMatch(/\broot\b|try_files/);
  expect(text.match(/proxy_pass http:\/\/site_alice_2f_blog;/g)).toHaveLength(2);
});

it("requests of owners whose names differ only in capital letters are counted apart", () => {
  const keys = ["alice", "Alice", "al.ice", "al_2e_ice"].map(
    (owner) => /set \$site_owner (\S+);/.exec(renderSite(owner, siteOf("php")))?.[1],
  );
  expect(keys).toEqual(["alice", "_41_lice", "al_2e_ice", "al_5f_2e_5f_ice"]);
});

it("a daemon's vhosts begin with the only line that separates daemons in Nginx's configuration", () => {
  expect(renderSite("alice", siteOf("php")).match(/^# site .*$/gm)).toEqual(["# site alice/blog"]);
});

it("the vhost text of a daemon without a host is empty", () => {
  expect(renderSite("alice", { ...siteOf("php"), hosts: [] })).toBe("");
});

it("daemons whose ids differ only in capital letters have different upstreams", () => {
  const name = (id: string): string =>
    (/upstream (\S+)/.exec(renderSite("alice", siteOf("php", { id })))?.[1] ?? "").toLowerCase();
  const ids = ["a/Blog", "a/blog", "a.b/c", "a/b.c", "a_b/c", "a/b_c", "a/b-c", "a/b_2d_c", "a_2f_b/c"];
  expect(new Set(ids.map(name)).size).toBe(ids.length);
  for (const id of ids) expect(name(id)).toMatch(/^site_[a-z0-9_]+$/);
});

describe("values", () => {
  it.each([
    ["/home/alice/my site", "/home/alice/my site"],
    ["/home//alice/./www/", "/home/alice/www"],
    ["/home/alice/a;b{c}#'\"d\\e", "/home/alice/a;b{c}#'\"d\\e"],
    ["/", "/"],
  ])("the path %j is accepted in a vhost", (text, normal) => expect(sitePath(text)).toBe(normal));

  it.each([
    "",
    "www",
    "~/www",
    "/a/../b",
    "/a/..",
    "/a\nb",
    "/a\0b",
    "/a\rb",
    "/a\u007f",
    "/$host",
    `/${"a".repeat(1024)}`,
  ])("the path %j is refused in a vhost", (text) => expect(sitePath(text)).toBeUndefined());

  it.each(["index.php", "Index_2.htm", "_.html", "app"])("a vhost accepts %s as a directory index", (text) =>
    expect(indexName(text)).toBe(text),
  );

  it.each(["", ".htaccess", "../x", "a/b", "a b", "a;b", "$uri", "a\n", "é", "-x", "/index.php", "a".repeat(65)])(
    "a vhost refuses %j as a directory index",
    (text) => expect(indexName(text)).toBeUndefined(),
  );
});

describe("a vhost of any values", () => {
  const nasty = fc.oneof(
    fc.constantFrom(
      "; } include /etc/passwd;",
      "\n}",
      '"',
      "'",
      "\\",
      "\\\\",
      '\\"',
      "$uri",
      "$\u007bx}",
      "*",
      "#",
      "{",
      "}",
      ";",
      " ",
    ),
    fc.string({ unit: "binary", maxLength: 8 }),
    fc.string({ maxLength: 12 }),
  );
  const word = fc.array(nasty, { maxLength: 5 }).map((parts) => parts.join(""));
  const known = { hosts: fc.array(word), paths: fc.tuple(word, word, word), index: fc.array(word) };
  /** Plain values. */
  const shape = (directives: readonly Directive[]): unknown =>
    directives.map(({ words, block }) => [words[0], words.length, block && shape(block)]);

  it("no value of a site changes the structure of a vhost, and Nginx reads each value unchanged", () => {
    let tried = 0;
    fc.assert(
      fc.property(fc.record(known), fc.constantFrom(...APPS), ({ hosts, paths, index: names }, app) => {
        const [docroot, socket, logs] = paths.map((text) => sitePath(`/x/${text}`));
        if (!docroot || !socket || !logs) return;
        tried += 1;
        const given: Hostname[] = hosts.flatMap((text) => hostname(text) ?? []);
        const files: IndexName[] = [...names.flatMap((text) => indexName(text) ?? []), ...index];
        const site = { ...siteOf(app, { docroot, socket, logs, index: files }), hosts: [...given, ...HOSTS] };
        const top = read(renderSite("alice", site));
        const plain = read(renderSite("alice", { ...siteOf(app, { index: files }), hosts: [...given, ...HOSTS] }));
        expect(shape(top)).toEqual(shape(plain));
        for (const { block = [] } of named(top, "server")) {
          expect(named(block, "root")[0]?.words).toEqual(["root", docroot]);
          expect(named(block, "access_log")[0]?.words[1]).toMatch(/\.access\.log$/);
          expect(named(block, "access_log")[0]?.words[1]?.startsWith(logs)).toBe(true);
        }
        for (const { block = [] } of named(top, "upstream")) {
          expect(block.map(({ words }) => words[1])).toEqual([`unix:${socket}`, `unix:${socket}`]);
        }
      }),
      { numRuns: 2000 },
    );
    expect(tried).toBeGreaterThan(100);
  });
});
