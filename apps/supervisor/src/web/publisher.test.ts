import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parseDaemonFile } from "../conf/daemon-file.ts";
import { parsePolicy } from "../conf/policy-file.ts";
import { initial } from "../core/lifecycle.ts";
import { resolvePolicy } from "../core/policy.ts";
import { NginxSites } from "../os/files/nginx-sites.ts";
import { Publisher, type Sited } from "./publisher.ts";

const OWNER = { name: "alice", uid: 1001, gid: 1001, home: "/home/alice", shell: "/bin/sh" };
const ACCOUNTS = { users: new Map([["alice", OWNER]]), groups: new Map() };
/** As long as it takes until whatever is looked at from time to time has been looked at. In ms. */
const LONG = 60_000;

let directory: string;
/** What is to be done, and when. */
let timers: Map<object, { readonly at: number; readonly then: () => void }>;
let clock: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-hosting-"));
  mkdirSync(join(directory, "accepted"));
  timers = new Map();
  clock = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

const after = (delay: number, then: () => void): (() => void) => {
  const key = {};
  timers.set(key, { at: clock + delay, then });
  return () => timers.delete(key);
};
const pass = (time: number): void => {
  for (const end = clock + time; ; ) {
    const [next] = [...timers].sort(([, a], [, b]) => a.at - b.at);
    if (!next || next[1].at > end) {
      clock = end;
      return;
    }
    timers.delete(next[0]);
    clock = next[1].at;
    next[1].then();
  }
};

/** A daemon of Alice's with these lines. */
const daemon = (name: string, ...lines: string[]): Sited => {
  const { value, errors } = parseDaemonFile(["start = exec true", ...lines, ""].join("\n"));
  if (!value) throw new Error(JSON.stringify(errors));
  const serving = { definition: value, fingerprint: "", account: OWNER, logDirectory: "", nginxGroup: "" };
  return { id: `alice/${name}`, key: { owner: OWNER, name }, serving, state: initial, hosts: [] };
};
/** One of hers with these hosts, published by its socket alone. */
const site = (name: string, ...hosts: string[]): Sited => daemon(name, "listen = http", `host = ${hosts.join(", ")}`);

/** Sees directories as it is told, and counts what it is offered. */
class WebServer extends NginxSites {
  directories = (_path: string): number | string => OWNER.uid;
  offers = 0;

  override ownerOf(_viewer: unknown, path: string): number | string {
    return this.directories(path);
  }

  override offer(text: string): void {
    this.offers += 1;
    super.offer(text);
  }
}

let web: WebServer;
const host = (daemons: readonly Sited[]): Publisher => {
  const { value, errors } = parsePolicy("[runs_as]\nalice\n[hosts]\nalice: *.example.org\n");
  if (!value) throw new Error(JSON.stringify(errors));
  const { policy } = resolvePolicy(value, ACCOUNTS);
  web = new WebServer({
    sitesDir: directory,
    logsDir: join(directory, "logs"),
    fastcgiDir: "/run/fastcgi",
    memory: join(directory, "memory"),
    identity: () => ({ uid: 1001, gid: 1001, groups: [] }),
  });
  const hosting = new Publisher({
    daemons: () => daemons,
    policy: () => policy,
    accounts: () => ACCOUNTS,
    web,
    machine: { after },
    port: 80,
    report: () => undefined,
  });
  hosting.plan();
  pass(1000);
  return hosting;
};

/** The web server's answer to what lies there: it takes up all sites but those whose id is given. */
const answer = (...leftOut: string[]): void => {
  const offered = readFileSync(join(directory, "offered/sites.conf"), "utf8");
  const parts = offered.split(/^(?=# site )/m);
  const kept = parts.filter((part) => !leftOut.some((id) => part.startsWith(`# site ${id}\n`)));
  writeFileSync(join(directory, "accepted/served"), kept.join(""));
  const lines = leftOut.map((id) => `left out ${id}: no room\n`);
  writeFileSync(join(directory, "accepted/answer"), `${offered.split(/\s/)[2]} accepted\n${lines.join("")}`);
};
const standings = ({ hosts }: Sited): string[] => hosts.map(({ name, state }) => `${name} ${state}`);

it("says of each site whether the web server works with it", () => {
  const [a, b] = [site("a", "a.example.org", "b.example.org"), site("b", "c.example.org")];
  host([a, b]);
  expect([a, b].map(standings)).toEqual([
    ["a.example.org pending", "b.example.org pending"],
    ["c.example.org pending"],
  ]);
  answer("alice/a");
  pass(LONG);
  expect([a, b].map(standings)).toEqual([
    ["a.example.org refused", "b.example.org refused"],
    ["c.example.org published"],
  ]);
  answer();
  pass(LONG);
  expect([a, b].flatMap(standings)).toEqual(["a", "b", "c"].map((name) => `${name}.example.org published`));
});

it("notices when the web server leaves out what it has published, as at its own next start", () => {
  const one = site("a", "a.example.org");
  host([one]);
  answer();
  pass(LONG);
  expect(standings(one)).toEqual(["a.example.org published"]);
  answer("alice/a");
  pass(LONG);
  expect(standings(one)).toEqual(["a.example.org refused"]);
  answer();
  pass(LONG);
  expect(standings(one)).toEqual(["a.example.org published"]);
});

it("looks at nothing any more where there is no site, and when it is closed", () => {
  host([]);
  expect(timers.size).toBe(0);
  const hosting = host([site("a", "a.example.org")]);
  answer();
  pass(LONG);
  expect(timers.size).toBe(1);
  hosting.close();
  expect(timers.size).toBe(0);
});

it("finds by itself that a docroot is there again, also where the web server leaves out somebody else's site", () => {
  const away = daemon("away", "host = a.example.org", "docroot = /srv/www");
  const daemons = [away];
  const hosting = host(daemons);
  answer();
  pass(LONG);
  expect(standings(away)).toEqual(["a.example.org published"]);
  web.directories = () => "there is no such directory";
  daemons.push(site("b", "b.example.org"));
  hosting.plan();
  pass(LONG);
  answer("alice/b");
  pass(LONG);
  expect(daemons.flatMap(standings)).toEqual(["a.example.org refused", "b.example.org refused"]);
  web.directories = () => OWNER.uid;
  pass(LONG);
  answer("alice/b");
  pass(LONG);
  expect(daemons.flatMap(standings)).toEqual(["a.example.org published", "b.example.org refused"]);
});

it("keeps a site whose docroot cannot be looked at for a moment, and no other one", () => {
  const daemons = [daemon("a", "host = a.example.org", "docroot = /srv/www")];
  const hosting = host(daemons);
  web.directories = () => {
    throw Object.assign(new Error("EIO: i/o error, lstat"), { code: "EIO" });
  };
  daemons.push(daemon("b", "host = b.example.org", "docroot = /srv/other"));
  hosting.plan();
  pass(1000);
  answer();
  pass(LONG);
  expect(daemons.flatMap(standings)).toEqual(["a.example.org published", "b.example.org refused"]);
  expect(daemons[1]?.hosts[0]?.reason).toBe(
    "host b.example.org: its docroot /srv/other cannot be looked at: EIO: i/o error, lstat",
  );
});

it("tries ever less often to tell a web server that cannot be told", () => {
  writeFileSync(join(directory, "offered"), "");
  host([site("a", "a.example.org")]);
  pass(LONG);
  expect(web.offers).toBeGreaterThan(10);
  expect(web.offers).toBeLessThan(20);
  rmSync(join(directory, "offered"));
  pass(6000);
  expect(readFileSync(join(directory, "offered/sites.conf"), "utf8")).toContain("a.example.org");
});
