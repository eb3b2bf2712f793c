import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { parseDaemonFile } from "../conf/daemon-file.ts";
import { parsePolicy } from "../conf/policy-file.ts";
import { initial, type State } from "../core/lifecycle.ts";
import { type Policy, resolvePolicy } from "../core/policy.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import { HandClock } from "./ports/clock.fake.ts";
import { refuse } from "./ports/nginx.fake.ts";
import { FakeSitePlaces } from "./ports/site-places.fake.ts";
import { FakeSiteRecord } from "./ports/site-record.fake.ts";
import { FakeWebServer } from "./ports/web-server.fake.ts";
import { Publisher, type Sited } from "./publisher.ts";

const account = (name: string, uid: number): Account => ({
  name,
  uid,
  gid: uid,
  home: `/home/${name}`,
  shell: "/bin/sh",
});
const ALICE = account("alice", 1001);
const BOB = account("bob", 1002);
const ACCOUNTS: AccountBase = {
  users: new Map([ALICE, BOB].map((each) => [each.name, each])),
  groups: new Map(),
};
/** Until everything that is looked at from time to time has been looked at, in ms. */
const LONG = 61_000;
const MOMENT = 1000;

const policyOf = (hosts: string): Policy => {
  const { value, errors } = parsePolicy(`[runs_as]\nalice\nbob\n[hosts]\n${hosts}\n`);
  if (!value) throw new Error(JSON.stringify(errors));
  return resolvePolicy(value, ACCOUNTS).policy;
};

let clock: HandClock;
let server: FakeWebServer;
let places: FakeSitePlaces;
let record: FakeSiteRecord;
let policy: Policy;
let accounts: AccountBase;
let daemons: DaemonOfTest[];
let reports: string[];
let publisher: Publisher;

type DaemonOfTest = { -readonly [Key in keyof Sited]: Sited[Key] };

/** What a conf file of these lines makes of a daemon. */
const termsOf = (owner: Account, lines: readonly string[]): NonNullable<Sited["serving"]> => {
  const { value, errors } = parseDaemonFile(["start = exec true", ...lines, ""].join("\n"));
  if (!value) throw new Error(JSON.stringify(errors));
  return { definition: value, fingerprint: "", account: owner, logDirectory: "", nginxGroup: "" };
};
const add = (owner: Account, name: string, ...lines: string[]): DaemonOfTest => {
  const key = { owner, name };
  const daemon = { id: `${owner.name}/${name}`, key, serving: termsOf(owner, lines), state: initial, hosts: [] };
  daemons.push(daemon);
  return daemon;
};
/** A daemon that is published by its socket alone. */
const site = (owner: Account, name: string, ...hosts: string[]): DaemonOfTest =>
  add(owner, name, "listen = http", `host = ${hosts.join(", ")}`);
const remove = (daemon: DaemonOfTest): void => {
  daemons = daemons.filter((each) => each !== daemon);
};
const start = (): void => {
  publisher = new Publisher({
    daemons: () => daemons,
    policy: () => policy,
    accounts: () => accounts,
    web: { server, places, record },
    clock,
    port: 80,
    reloadInterval: 15_000,
    report: (level, text) => reports.push(`${level}: ${text}`),
  });
  publisher.plan();
};
const review = async (time = MOMENT): Promise<void> => {
  publisher.plan();
  await clock.pass(time);
};
const standings = (...of: DaemonOfTest[]): string[] =>
  of.flatMap(({ hosts }) => hosts.map(({ name, state }) => `${name} ${state}`));
const reasonOf = ({ hosts }: DaemonOfTest): string | undefined => hosts[0]?.reason;

beforeEach(() => {
  clock = new HandClock();
  server = new FakeWebServer();
  places = new FakeSitePlaces();
  record = new FakeSiteRecord();
  policy = policyOf("alice: *.example.org\nbob: *.example.org");
  accounts = ACCOUNTS;
  daemons = [];
  reports = [];
  server.connect();
});

describe("how a host stands", () => {
  it("is pending until the web server serves it, and published then", async () => {
    server.disconnect();
    const one = site(ALICE, "a", "a.example.org", "b.example.org");
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org pending", "b.example.org pending"]);
    expect(reasonOf(one)).toBe("the web server does not serve it yet");
    server.connect();
    await clock.pass(MOMENT);
    expect(one.hosts).toEqual(
      ["a.example.org", "b.example.org"].map((name) => ({
        name,
        state: "published",
        reason: "",
        url: `http://${name}/`,
        logs: {
          access: `/var/log/dmhost-sites/alice/${name}.access.log`,
          error: `/var/log/dmhost-sites/alice/${name}.error.log`,
          trouble: "",
        },
      })),
    );
    expect(reports).toEqual(["info: the web server serves the sites"]);
  });

  it("is refused with Nginx's complaint where Nginx refuses the site, and no other daemon's host is", async () => {
    const [bad, good] = [site(ALICE, "bad", "bad.example.org"), site(BOB, "good", "good.example.org")];
    const log = "/var/log/dmhost-sites/alice/bad.example.org.access.log";
    refuse(server, new Map([[log, "file"]]));
    start();
    await clock.pass(MOMENT);
    expect(standings(bad, good)).toEqual(["bad.example.org refused", "good.example.org published"]);
    const complaint = `[emerg] open() "${log}" failed (21: Is a directory)`;
    expect(reasonOf(bad)).toBe(`host bad.example.org: the web server refuses this site: ${complaint}`);
    expect(reports).toEqual([`warn: the web server leaves out the site of alice/bad: ${complaint}`]);
    refuse(server, new Map());
    await clock.pass(LONG);
    expect(standings(bad, good)).toEqual(["bad.example.org published", "good.example.org published"]);
    expect(reports.at(-1)).toBe("info: the web server serves the sites");
  });

  it("is refused without the complaint where Nginx refuses its configuration as a whole", async () => {
    const one = site(ALICE, "a", "a.example.org");
    server.judge = () => ({ kind: "refused", complaint: "[emerg] /home/bob/secret", line: undefined });
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toBe(
      "host a.example.org: the web server refuses its configuration; root finds why in the supervisor's log",
    );
    expect(reports).toEqual([
      "warn: the web server refuses the sites and goes on with those in force: [emerg] /home/bob/secret",
    ]);
  });

  it("is pending with the reason where the web server could not do what it was asked", async () => {
    const one = site(ALICE, "a", "a.example.org");
    server.fault = { reason: "nginx does not reload", reload: true };
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org pending"]);
    expect(reasonOf(one)).toBe("the web server does not serve it yet: nginx does not reload");
    expect(reports).toEqual(["warn: the sites are not in force yet: nginx does not reload"]);
  });

  it("has the port in its address where that is not 80, and says why the owner cannot read its logs", async () => {
    const shared = { ...BOB, gid: ALICE.gid };
    accounts = { users: new Map([ALICE, shared].map((each) => [each.name, each])), groups: new Map() };
    const one = site(ALICE, "a", "a.example.org");
    new Publisher({
      daemons: () => daemons,
      policy: () => policy,
      accounts: () => accounts,
      web: { server, places, record },
      clock,
      port: 8080,
      reloadInterval: 15_000,
      report: () => undefined,
    }).plan();
    await clock.pass(MOMENT);
    expect(one.hosts[0]?.url).toBe("http://a.example.org:8080/");
    expect(one.hosts[0]?.logs?.trouble).toMatch(/^alice cannot read the logs .* primary group \(1001\), too/);
  });

  it("is refused where the supervisor publishes no sites", async () => {
    const one = site(ALICE, "a", "a.example.org");
    const web = undefined;
    const options = { daemons: () => daemons, policy: () => policy, accounts: () => accounts, web, clock, port: 80 };
    const none = new Publisher({ ...options, reloadInterval: 0, report: (_, text) => reports.push(text) });
    none.plan();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toBe("host a.example.org: this supervisor publishes no sites");
    expect([reports, clock.pending]).toEqual([[], 0]);
    none.close();
  });
});

describe("who may have a host", () => {
  it("is the owner to whom the policy grants it, for as long as it does", async () => {
    const one = site(ALICE, "a", "a.example.org", "a.example.net");
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org published", "a.example.net refused"]);
    expect(one.hosts[1]?.reason).toMatch(
      /^host a\.example\.net is not granted to alice: .*; root grants it in \[hosts\]$/,
    );
    expect(server.inForce().text).not.toContain("a.example.net");
    policy = policyOf("alice: a.example.net");
    await review();
    expect(standings(one)).toEqual(["a.example.org refused", "a.example.net published"]);
    policy = policyOf("bob: *.example.org");
    await review();
    expect([standings(one), server.inForce().text]).toEqual([["a.example.org refused", "a.example.net refused"], ""]);
  });

  it("is the daemon that had it first, also under the next supervisor, until it gives it up", async () => {
    const bob = site(BOB, "z", "shared.example.org");
    start();
    await clock.pass(MOMENT);
    const [alice, second] = [site(ALICE, "a", "shared.example.org"), site(BOB, "second", "shared.example.org")];
    await review();
    expect(standings(bob, alice)).toEqual(["shared.example.org published", "shared.example.org refused"]);
    expect(reasonOf(alice)).toBe("host shared.example.org is held by a daemon of another owner, which had it first");
    expect(reasonOf(second)).toBe('host shared.example.org is held by "bob/z", which had it first');
    const before = server.requests.length;
    publisher.close();
    start();
    await clock.pass(MOMENT);
    expect([standings(bob), server.requests.length]).toEqual([["shared.example.org published"], before]);
    remove(bob);
    remove(second);
    await review();
    expect(standings(alice)).toEqual(["shared.example.org published"]);
  });

  it("is its holder also while that cannot be published, and never a daemon that could not be", async () => {
    const lines = ["host = kept.example.org", "docroot = /srv/kept"];
    const holder = add(BOB, "z", ...lines);
    start();
    await clock.pass(MOMENT);
    expect(standings(holder)).toEqual(["kept.example.org published"]);
    places.directories = (path, viewer) => (path === "/srv/kept" ? "there is no such directory" : viewer.uid);
    const other = site(ALICE, "a", "kept.example.org");
    await review();
    expect(standings(holder, other)).toEqual(["kept.example.org refused", "kept.example.org refused"]);
    expect(reasonOf(holder)).toMatch(/there is no such directory/);
    expect(reasonOf(other)).toMatch(/held by a daemon of another owner/);
    remove(holder);
    const late = add(ALICE, "aa", ...lines);
    await review();
    // The docroot is looked for again after a while, by itself.
    await clock.pass(LONG);
    expect(standings(other, late)).toEqual(["kept.example.org published", "kept.example.org refused"]);
  });

  it("is no daemon that the policy forbids, though a holder keeps it from others", async () => {
    const one = site(BOB, "z", "a.example.org");
    start();
    await clock.pass(MOMENT);
    const block: State["block"] = { kind: "forbidden", reason: "bob must not run as www" };
    one.state = { ...initial, block };
    const other = site(ALICE, "a", "a.example.org");
    await review();
    expect(standings(one, other)).toEqual(["a.example.org refused", "a.example.org refused"]);
    expect(reasonOf(one)).toBe("host a.example.org: bob must not run as www");
  });

  it("is not asked for the 257th host of an owner", async () => {
    const all = Array.from({ length: 9 }, (_, at) => {
      const hosts = Array.from({ length: at === 8 ? 1 : 32 }, (__, host) => `h${host}.d${at}.example.org`);
      return site(ALICE, `d${at}`, ...hosts);
    });
    const bob = site(BOB, "b", "b.example.org");
    start();
    await clock.pass(MOMENT);
    expect(standings(...all).filter((each) => each.endsWith(" published"))).toHaveLength(256);
    expect(reasonOf(all[8] as DaemonOfTest)).toBe("host h0.d8.example.org: alice has 256 published hosts already");
    expect(standings(bob)).toEqual(["b.example.org published"]);
  });

  it("has none any more when its file names none", async () => {
    const one = site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    one.serving = termsOf(ALICE, ["listen = http"]);
    await review();
    expect([one.hosts, server.inForce().text, record.memory]).toEqual([[], "", { holders: {}, sites: {} }]);
  });
});

describe("what stays as it was", () => {
  it("is a site whose file is wrong, also under the next supervisor", async () => {
    const one = site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    const { text } = server.inForce();
    publisher.close();
    one.serving = undefined;
    start();
    await clock.pass(MOMENT);
    expect([standings(one), server.inForce().text, server.reloads]).toEqual([["a.example.org published"], text, 1]);
  });

  it("is a site whose docroot cannot be looked at for a moment, and no other one", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    start();
    await clock.pass(MOMENT);
    places.directories = () => {
      throw new Error("EIO: i/o error, lstat");
    };
    const other = add(ALICE, "b", "host = b.example.org", "docroot = /srv/other");
    await review();
    expect(standings(one, other)).toEqual(["a.example.org published", "b.example.org refused"]);
    expect(reasonOf(other)).toBe(
      "host b.example.org: its docroot /srv/other cannot be looked at: EIO: i/o error, lstat",
    );
  });

  it("is all where nothing changes: no request, no record, no timer", async () => {
    site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    const before = [server.requests.length, record.writes];
    for (let time = 0; time < 10; time += 1) await review();
    expect([server.requests.length, record.writes]).toEqual(before);
    expect(clock.pending).toBe(0);
    publisher.plan();
    publisher.close();
    site(ALICE, "b", "b.example.org");
    await clock.pass(LONG);
    expect(server.requests.length).toBe(before[0]);
  });
});

describe("what is found by itself", () => {
  it("is a docroot that is there again", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    places.directories = () => "there is no such directory";
    start();
    await clock.pass(LONG);
    expect(standings(one)).toEqual(["a.example.org refused"]);
    places.directories = (_path, { uid }) => uid;
    await clock.pass(LONG);
    expect(standings(one)).toEqual(["a.example.org published"]);
  });

  it("is room for the record, without which nothing new is published, tried ever less often", async () => {
    const one = site(ALICE, "a", "a.example.org");
    record.fault = new Error("ENOSPC: no space left on device");
    start();
    await clock.pass(LONG);
    const reason = "the sites cannot be recorded: ENOSPC: no space left on device";
    expect(reasonOf(one)).toBe(`the web server does not serve it yet: ${reason}`);
    expect([server.requests, reports]).toEqual([[], [`warn: the sites are not in force yet: ${reason}`]]);
    expect(record.writes).toBeGreaterThan(10);
    expect(record.writes).toBeLessThan(20);
    record.fault = undefined;
    await clock.pass(6000);
    expect(standings(one)).toEqual(["a.example.org published"]);
  });
});

describe("a site that cannot be", () => {
  it.each([
    [["listen = fastcgi", "app = php"], /^host a\.example\.org: app=php needs a docroot$/],
    [["app = static"], /^host a\.example\.org: app=static needs a docroot$/],
  ])("says so: %j", async (lines, reason) => {
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
    ["its log directory", () => (places.logFault = new Error("EROFS")), /its log directory cannot be made: EROFS/],
    ["its log directory, with no error object", () => (places.logFault = "no"), /its log directory cannot be made: no/],
    [
      "a long socket path",
      () => (places.fastcgiDir = `/${"x".repeat(100)}`),
      /more than 107 bytes; give the daemon a shorter/,
    ],
    [
      "a path with a dollar sign",
      () => (places.logsDir = "/a$b"),
      /the paths of its logs and socket cannot be written/,
    ],
  ])("says so: %s", async (_what, spoil, reason) => {
    spoil();
    const one = site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toMatch(reason);
    expect(server.requests).toEqual([]);
  });

  it("says so of a docroot that cannot be written into Nginx's configuration", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    const terms = termsOf(ALICE, ["host = a.example.org", "docroot = /srv/www"]);
    one.serving = { ...terms, definition: { ...terms.definition, docroot: "/srv/$x" } };
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toBe("host a.example.org: its docroot cannot be written into Nginx's configuration");
  });

  it("has every kind of app beside it that can", async () => {
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

it("publishes each host of one daemon at most, granted and claimed, and settles once nothing changes", async () => {
  const hosts = ["a.example.org", "b.example.org", "c.example.net"] as const;
  const owners = [ALICE, BOB];
  const event = fc.oneof(
    fc.record({
      kind: fc.constant("file" as const),
      owner: fc.constantFrom(...owners),
      name: fc.constantFrom("x", "y"),
      hosts: fc.subarray([...hosts]),
    }),
    fc.record({
      kind: fc.constant("policy" as const),
      hosts: fc.constantFrom(
        "alice: *.example.org",
        "bob: *.example.org",
        "alice: *.example.org\nbob: *.example.org, c.example.net",
      ),
    }),
    fc.record({ kind: fc.constantFrom("refuse", "accept", "disk full", "room", "away", "back", "restart") }),
    fc.record({ kind: fc.constant("pass" as const), time: fc.integer({ min: 0, max: 30_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (events) => {
      clock = new HandClock();
      server = new FakeWebServer();
      record = new FakeSiteRecord();
      policy = policyOf("alice: *.example.org\nbob: *.example.org");
      daemons = [];
      start();
      for (const each of events) {
        if (each.kind === "file" && "owner" in each) {
          daemons = daemons.filter(({ id }) => id !== `${each.owner.name}/${each.name}`);
          if (each.hosts.length > 0) site(each.owner, each.name, ...each.hosts);
        } else if (each.kind === "policy" && "hosts" in each) policy = policyOf(each.hosts);
        else if ("time" in each) await clock.pass(each.time);
        else if (each.kind === "refuse") refuse(server, new Map([["alice/a.example.org.access.log", "vague"]]));
        else if (each.kind === "accept") refuse(server, new Map());
        else if (each.kind === "disk full") record.fault = new Error("ENOSPC");
        else if (each.kind === "room") record.fault = undefined;
        else if (each.kind === "away") server.disconnect();
        else if (each.kind === "back") server.connect();
        else {
          publisher.close();
          start();
        }
        publisher.plan();
        await clock.pass(200);
        const names = [...server.inForce().text.matchAll(/server_name (.*);/g)].map(([, name]) => name);
        expect(new Set(names).size).toBe(names.length);
      }
      record.fault = undefined;
      refuse(server, new Map());
      server.connect();
      publisher.plan();
      await clock.pass(300_000);
      const published = daemons.flatMap(({ hosts: each }) =>
        each.flatMap(({ name, state }) => (state === "published" ? [String(name)] : [])),
      );
      const served = [...server.inForce().text.matchAll(/server_name (.*);/g)].map(([, name]) => name);
      expect(published.sort()).toEqual(served.sort());
      for (const host of hosts) {
        const claimants = daemons.filter(
          ({ key, hosts: each }) =>
            each.some(({ name }) => name === host) && policy.mayHost(key.owner.name, host as never).allowed,
        );
        expect(published.includes(host)).toBe(claimants.length > 0);
      }
      expect(daemons.flatMap(({ hosts: each }) => each.map(({ state }) => state))).not.toContain("pending");
    }),
    { numRuns: 200 },
  );
}, 60_000);
