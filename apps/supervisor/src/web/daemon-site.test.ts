import { beforeEach, describe, expect, it } from "vitest";
import { parseDaemonFile } from "../conf/daemon-file.ts";
import {
  ALICE,
  add,
  clock,
  MOMENT,
  reasonOf,
  reset,
  review,
  server,
  site,
  siteFiles,
  standings,
  start,
  termsOf,
} from "./publisher.fake.ts";

beforeEach(reset);

describe("a daemon whose site cannot be made", () => {
  it.each([
    [["listen = fastcgi", "app = php"], /^host a\.example\.org: app=php needs a docroot$/],
    [["app = static"], /^host a\.example\.org: app=static needs a docroot$/],
  ])("a daemon without a site has a reason for %j", async (lines, reason) => {
    const parsed = parseDaemonFile(["start = exec true", "host = a.example.org", ...lines, ""].join("\n"));
    // The parser says so first where it can.
    const terms = parsed.value ?? {
      ...termsOf(ALICE, ["host = a.example.org", ...lines, "docroot = /srv"]).definition,
    };
    const one = site(ALICE, "a", "a.example.org");
    one.serving = { ...termsOf(ALICE, []), definition: { ...terms, docroot: undefined } };
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toMatch(reason);
  });

  it.each([
    ["its log directory", () => (siteFiles.logFault = new Error("EROFS")), /its log directory cannot be made: EROFS/],
    [
      "its log directory, with no error object",
      () => (siteFiles.logFault = "no"),
      /its log directory cannot be made: no/,
    ],
    [
      "a long socket path",
      () => (siteFiles.fastcgiDir = `/${"x".repeat(100)}`),
      /more than 107 B; give the daemon a shorter/,
    ],
    [
      "a path with a dollar sign",
      () => (siteFiles.logsDir = "/a$b"),
      /the paths of its logs and socket cannot be written/,
    ],
  ])("a daemon whose site cannot be made has a reason that names %s", async (_what, spoil, reason) => {
    spoil();
    const one = site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toMatch(reason);
    expect(server.requests).toEqual([]);
  });

  it("the path of a socket may have as many bytes as the address of a socket, whatever the number of its characters", async () => {
    const one = site(ALICE, "a", "a.example.org");
    siteFiles.fastcgiDir = `/${"x".repeat(107 - "//alice/a.sock".length)}`;
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org published"]);
    siteFiles.fastcgiDir = siteFiles.fastcgiDir.replace("x", "é");
    one.serving = termsOf(ALICE, ["listen = http", "host = a.example.org"]);
    await review();
    expect(reasonOf(one)).toMatch(/has more than 107 B;/);
  });

  it("a daemon whose site cannot be made has a reason that names a docroot Nginx's configuration cannot hold", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    const terms = termsOf(ALICE, ["host = a.example.org", "docroot = /srv/www"]);
    one.serving = { ...terms, definition: { ...terms.definition, docroot: "/srv/$x" } };
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toBe("host a.example.org: its docroot cannot be written into Nginx's configuration");
  });

  it("sites of every kind of app can be published", async () => {
    const all = [
      add(ALICE, "php", "listen = fastcgi", "app = php", "host = php.example.org", "docroot = ~/www"),
      add(ALICE, "static", "host = static.example.org", "docroot = ~/www"),
      add(ALICE, "http", "listen = http", "host = http.example.org", "docroot = ~/www"),
      add(ALICE, "fastcgi", "listen = fastcgi", "app = fastcgi", "host = fastcgi.example.org"),
    ];
    start();
    await clock.pass(MOMENT);
    expect(standings(...all).every((each) => each.endsWith(" published"))).toBe(true);
    expect(server.inForce().text.match(/root "\/home\/alice\/www";/g)).toHaveLength(3);
  });
});
