import { describe, expect, it } from "vitest";
import { covers, describePattern, hostname, hostPattern } from "./hostname.ts";

const long = (length: number): string => `${"a.".repeat(130)}org`.slice(-length).replace(/^\./, "b");

describe("hostname", () => {
  it.each(["blog.example.org", "a.b", "x-1.example.org", "xn--bcher-kva.example", `${"a".repeat(63)}.org`, long(242)])(
    "the host name %s is accepted",
    (text) => expect(hostname(text)).toBe(text),
  );

  it("a host name is converted to lower case", () => expect(hostname("Blog.EXAMPLE.org")).toBe("blog.example.org"));

  it.each([
    "",
    "org",
    "a..b",
    ".a.b",
    "a.b.",
    "-a.org",
    "a-.org",
    "a_b.org",
    "bücher.example",
    "\u212aelvin.example",
    "127.0.0.1",
    "a.1",
    "*.example.org",
    "*",
    "~^x.org",
    "a.com; } include /etc/passwd;",
    "a.com\n",
    "a.com\nserver_name b.com",
    "$host.org",
    "a b.org",
    '"a.org"',
    "a.org:80",
    "a.org/x",
    `${"a".repeat(64)}.org`,
    long(243),
    long(253),
    "__proto__",
  ])("the host name %j is refused", (text) => expect(hostname(text)).toBeUndefined());
});

describe("hostPattern", () => {
  it.each(["blog.example.org", "*.greenfelt.net", "*.localhost"])("the host pattern %s is accepted", (text) => {
    const pattern = hostPattern(text);
    expect(pattern && describePattern(pattern)).toBe(text);
  });

  it.each(["*", "*.", "*.*.org", "a.*.org", "**.org", "*.1", "org", `*.${long(241)}`, "*greenfelt.net", "$.org"])(
    "the host pattern %j is refused",
    (text) => expect(hostPattern(text)).toBeUndefined(),
  );

  it.each([
    ["blog.example.org", "blog.example.org", true],
    ["blog.example.org", "www.blog.example.org", false],
    ["*.greenfelt.net", "www.greenfelt.net", true],
    ["*.greenfelt.net", "a.b.greenfelt.net", true],
    ["*.greenfelt.net", "greenfelt.net", false],
    ["*.greenfelt.net", "evilgreenfelt.net", false],
  ])("a grant of %s covers the host %s: %s", (grant, name, answer) => {
    const [pattern, host] = [hostPattern(grant), hostname(name)];
    expect(pattern && host && covers(pattern, host)).toBe(answer);
  });
});
