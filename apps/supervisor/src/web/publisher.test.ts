import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { refuse } from "./ports/nginx.fake.ts";
import {
  ALICE,
  accounts,
  add,
  BOB,
  clock,
  daemons,
  LONG,
  MOMENT,
  policy,
  publisher,
  reasonOf,
  record,
  remove,
  reports,
  reset,
  review,
  server,
  setAccounts,
  setPolicy,
  site,
  siteFiles,
  standings,
  start,
  termsOf,
} from "./publisher.fake.ts";
import { Publisher, SLICE } from "./publisher.ts";

beforeEach(reset);

describe("the state of a host", () => {
  it("the state of a host is pending until the web server serves the host, and published then", async () => {
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
          problem: "",
        },
      })),
    );
    expect(reports).toEqual(["info: the web server serves the sites"]);
    site(ALICE, "c", "c.example.org");
    await review();
    expect(reports).toEqual(Array(2).fill("info: the web server serves the sites"));
  });

  it("the state of a host is refused with Nginx's complaint about the site; hosts of other daemons are published", async () => {
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

  it("the state of a host is refused without the complaint when Nginx refuses its whole configuration", async () => {
    const one = site(ALICE, "a", "a.example.org");
    server.judge = () => ({ kind: "refused", complaint: "[emerg] /home/bob/secret", line: undefined });
    start();
    await clock.pass(MOMENT);
    expect(reasonOf(one)).toBe(
      "host a.example.org: the web server refuses its configuration; the supervisor's log, which root can read, has the reason",
    );
    expect(reports).toEqual([
      "warn: the web server refuses the sites and keeps those in force: [emerg] /home/bob/secret",
    ]);
  });

  it("the state of a host is pending with the reason when a request to the web server failed", async () => {
    const one = site(ALICE, "a", "a.example.org");
    server.fault = { reason: "nginx does not reload", reload: true };
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org pending"]);
    expect(reasonOf(one)).toBe("the web server does not serve it yet: nginx does not reload");
    expect(reports).toEqual(["warn: the sites are not in force yet: nginx does not reload"]);
  });

  it("a host that is pending for a minute is a problem with the reason, until it is published or gone", async () => {
    server.disconnect();
    site(ALICE, "a", "a.example.org");
    const two = site(BOB, "b", "b.example.org");
    start();
    await clock.pass(MOMENT);
    const late = site(ALICE, "c", "c.example.org");
    await review(50_000);
    expect(publisher.problem).toBe("");
    await clock.pass(10_000);
    expect(publisher.problem).toBe(
      "2 hosts have been pending for a minute or longer: the web server has not connected",
    );
    remove(two);
    remove(late);
    await review();
    expect(publisher.problem).toMatch(/^1 host has been pending /);
    server.connect();
    await clock.pass(MOMENT);
    expect(publisher.problem).toBe("");
  });

  it("the state of a host comes with an address that names a port other than 80, and with the reason why the owner cannot read the logs", async () => {
    const shared = { ...BOB, gid: ALICE.gid };
    setAccounts({ users: new Map([ALICE, shared].map((each) => [each.name, each])), groups: new Map() });
    const one = site(ALICE, "a", "a.example.org");
    new Publisher({
      daemons: () => daemons,
      policy: () => policy,
      accounts: () => accounts,
      web: { server, siteFiles, record },
      clock,
      port: 8080,
      reloadInterval: 15_000,
      report: () => undefined,
    }).plan();
    await clock.pass(MOMENT);
    expect(one.hosts[0]?.url).toBe("http://a.example.org:8080/");
    expect(one.hosts[0]?.logs?.problem).toMatch(
      /^alice cannot read the logs .* primary group \(1001\) has other members/,
    );
  });

  it("the state of a host is refused when the supervisor publishes no sites", async () => {
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

describe("a review of all sites", () => {
  it("a review keeps a site whose conf file has an error, even under the next supervisor", async () => {
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

  it("a review of all sites keeps a published site whose docroot cannot be inspected at the moment, and publishes no new one", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    start();
    await clock.pass(MOMENT);
    siteFiles.directories = () => {
      throw new Error("EIO: i/o error, lstat");
    };
    const other = add(ALICE, "b", "host = b.example.org", "docroot = /srv/other");
    await review();
    expect(standings(one, other)).toEqual(["a.example.org published", "b.example.org refused"]);
    expect(reasonOf(other)).toBe("host b.example.org: its docroot /srv/other cannot be checked: EIO: i/o error, lstat");
    one.serving = termsOf(ALICE, ["host = a.example.org", "docroot = /srv/changed"]);
    await review();
    expect(standings(one)).toEqual(["a.example.org refused"]);
  });

  it("a review of all sites makes no request, record or timer when nothing changed", async () => {
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

describe("the publisher", () => {
  it("the publisher finds a docroot that exists again, without an event", async () => {
    const one = add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    siteFiles.directories = () => "there is no such directory";
    start();
    await clock.pass(LONG);
    expect(standings(one)).toEqual(["a.example.org refused"]);
    siteFiles.directories = (_path, { uid }) => uid;
    await clock.pass(LONG);
    expect(standings(one)).toEqual(["a.example.org published"]);
  });

  it("the publisher publishes nothing new before it is recorded, and retries the record at growing intervals", async () => {
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
    record.fault = new Error("ENOSPC: no space left on device");
    const before = record.writes;
    site(ALICE, "b", "b.example.org");
    await review();
    // At once, and from 200 ms on again.
    expect(record.writes - before).toBeGreaterThanOrEqual(3);
  });

  it("a closed publisher leaves no timer, even where a docroot is missing", async () => {
    add(ALICE, "a", "host = a.example.org", "docroot = /srv/www");
    siteFiles.directories = () => "there is no such directory";
    start();
    await clock.pass(MOMENT);
    site(ALICE, "b", "b.example.org");
    await review();
    expect(clock.pending).toBe(1);
    publisher.close();
    expect(clock.pending).toBe(0);
  });
});

it("the publisher never serves a host twice, and settles on granted and claimed hosts, whatever happens", async () => {
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
      reset();
      start();
      for (const each of events) {
        if (each.kind === "file" && "owner" in each) {
          const id = `${each.owner.name}/${each.name}`;
          for (const daemon of daemons.filter((previous) => previous.id === id)) remove(daemon);
          if (each.hosts.length > 0) site(each.owner, each.name, ...each.hosts);
        } else if (each.kind === "policy" && "hosts" in each) setPolicy(each.hosts);
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

describe("a review of many daemons", () => {
  const many = (): void => {
    for (let index = 0; index < 3 * SLICE; index += 1) site(ALICE, `site${index}`, `h${index}.example.org`);
  };

  it("a review of many daemons leaves other work its turn, and publishes all sites at its end", async () => {
    many();
    const seen: number[] = [];
    const reviewed = daemons.map((daemon) => {
      const reads = { count: 0 };
      const { serving } = daemon;
      Object.defineProperty(daemon, "serving", {
        get: () => {
          reads.count += 1;
          return serving;
        },
      });
      return reads;
    });
    start();
    const after = clock.after.bind(clock);
    clock.after = (delay, then) => {
      if (delay === 0) seen.push(reviewed.filter(({ count }) => count > 1).length);
      return after(delay, then);
    };
    await clock.pass(LONG);
    expect(seen).toEqual([SLICE, 2 * SLICE, 3 * SLICE, 3 * SLICE]);
    expect(new Set(standings(...daemons).map((each) => each.split(" ")[1]))).toEqual(new Set(["published"]));
  });

  it("what changes while a review is under way is reviewed after it", async () => {
    many();
    start();
    const after = clock.after.bind(clock);
    clock.after = (delay, then) => after(delay === 0 ? MOMENT : delay, then);
    await clock.pass(MOMENT / 2);
    const late = site(ALICE, "late", "late.example.org");
    await review(LONG);
    expect(standings(late, ...daemons).filter((each) => !each.endsWith(" published"))).toEqual([]);
  });

  it("a review of many daemons publishes nothing by a policy that is replaced meanwhile", async () => {
    many();
    start();
    const after = clock.after.bind(clock);
    clock.after = (delay, then) => {
      if (delay === 0) {
        setPolicy("bob: *.example.org");
        clock.after = after;
      }
      return after(delay, then);
    };
    await clock.pass(LONG);
    expect(server.requests.filter(({ text }) => text.includes("example.org"))).toEqual([]);
    expect(new Set(standings(...daemons).map((each) => each.split(" ")[1]))).toEqual(new Set(["refused"]));
  });
});
