import { describe, expect, it } from "vitest";
import { appOf } from "../core/definition.ts";
import { parseDaemonFile } from "./daemon-file.ts";

const parsed = (...lines: string[]) => parseDaemonFile(["start = exec php-cgi", ...lines].join("\n"));
const told = ({ errors, warnings }: ReturnType<typeof parsed>) =>
  [...errors, ...warnings].map(({ line, text }) => `${line}: ${text}`);

const PHP = ["listen = fastcgi", "host = Blog.example.org, www.blog.example.org,blog.example.org", "docroot = ~/www"];

describe("a site", () => {
  it("a site is read with its defaults", () => {
    const { value, errors, warnings } = parsed(...PHP);
    expect([errors, warnings]).toEqual([[], []]);
    expect(value).toMatchObject({
      host: ["blog.example.org", "www.blog.example.org"],
      docroot: "~/www",
      index: ["index.php", "index.html"],
      app: undefined,
      maxBody: 64 << 20,
    });
    expect(value && appOf(value)).toBe("php");
  });

  it.each([
    ["1", 1],
    ["8K", 8192],
    ["100M", 100 << 20],
    ["1G", 1 << 30],
  ])("a site may have max-body = %s", (text, bytes) =>
    expect(parsed(...PHP, `max-body = ${text}`).value?.maxBody).toBe(bytes),
  );

  it.each(["0", "2G", "1025M", "1T"])("a site cannot have max-body = %j", (text) =>
    expect(told(parsed(...PHP, `max-body = ${text}`))[0]).toMatch(/^5: max-body: expected a size from 1 B to 1 GiB/),
  );

  it.each([
    "a.com; } include /etc/passwd;",
    "$host.example.org",
    "*.example.org",
    "*",
    "a.org,",
    "",
    "localhost",
    "a.org b.org",
    Array.from({ length: 33 }, (_, at) => `a${at}.org`).join(","),
  ])("a site cannot have host = %j: the error names the line", (text) =>
    expect(told(parsed("listen = fastcgi", `host = ${text}`, "docroot = /x"))[0]).toMatch(
      /^3: host: expected at most 32/,
    ),
  );

  it.each(["www", "/a/../b", "/a$b", "~bob/www", "~/..", "", `/${"a".repeat(600)}`])(
    "a site cannot have docroot = %j",
    (text) =>
      expect(told(parsed("listen = fastcgi", "host = a.org", `docroot = ${text}`))[0]).toMatch(/^4: docroot: expected/),
  );

  it.each(["/index.php", "a b", ".x", "$uri", "a;b"])("a site cannot have index = %j", (text) =>
    expect(told(parsed(...PHP, `index = ${text}`))[0]).toMatch(/^5: index: expected/),
  );

  it.each([
    [["app = perl"], "5: app: expected php, fastcgi, http or static, found"],
    [["app = http"], "5: app=http cannot be combined with listen=fastcgi: expected listen=http"],
    [["app = fastcgi", "index = x.html"], "6: index has no effect with app=fastcgi"],
  ])("a site of PHP cannot have %j", (lines, text) => expect(told(parsed(...PHP, ...lines))[0]).toContain(text));

  it.each([
    [["host = a.org"], "2: a site with app=static needs a docroot"],
    [
      ["host = a.org", "docroot = /x", "app = php"],
      "4: app=php cannot be combined with listen=none: expected listen=fastcgi",
    ],
    [["host = a.org", "app = php", "listen = fastcgi"], "3: a site with app=php needs a docroot"],
    [["docroot = /x"], "2: docroot has no effect without host"],
  ])("a site is refused when its keys are %j", (lines, text) => expect(told(parsed(...lines))).toEqual([text]));
});

it.each([
  ["none", undefined, "static"],
  ["none", "/x", "static"],
  ["http", "/x", "http"],
  ["fastcgi", "/x", "php"],
  ["fastcgi", undefined, "fastcgi"],
  ["systemd", undefined, "fastcgi"],
])("a site with listen=%s and docroot=%s has app=%s by default", (listen, docroot, app) =>
  expect(appOf({ listen, docroot, app: undefined })).toBe(app),
);
