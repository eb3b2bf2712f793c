import { beforeEach, describe, expect, it } from "vitest";
import { initial, type State } from "../core/lifecycle.ts";
import {
  ALICE,
  add,
  BOB,
  clock,
  type DaemonOfTest,
  LONG,
  MOMENT,
  publisher,
  reasonOf,
  record,
  remove,
  reset,
  review,
  server,
  setPolicy,
  site,
  siteFiles,
  standings,
  start,
  termsOf,
} from "./publisher.fake.ts";

beforeEach(reset);

describe("a host", () => {
  it("a host is published for the owner to whom the policy grants it, for as long as it does", async () => {
    const one = site(ALICE, "a", "a.example.org", "a.example.net");
    start();
    await clock.pass(MOMENT);
    expect(standings(one)).toEqual(["a.example.org published", "a.example.net refused"]);
    expect(one.hosts[1]?.reason).toMatch(
      /^host a\.example\.net is not granted to alice: .*; root grants it in \[hosts\]$/,
    );
    expect(server.inForce().text).not.toContain("a.example.net");
    setPolicy("alice: a.example.net");
    await review();
    expect(standings(one)).toEqual(["a.example.org refused", "a.example.net published"]);
    setPolicy("bob: *.example.org");
    await review();
    expect([standings(one), server.inForce().text]).toEqual([["a.example.org refused", "a.example.net refused"], ""]);
  });

  it("a host stays with the daemon that claimed it first, also under the next supervisor, until that one gives it up", async () => {
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

  it("a host stays with a holder that cannot be published at the moment, and goes to no daemon that cannot be", async () => {
    const lines = ["host = kept.example.org", "docroot = /srv/kept"];
    const holder = add(BOB, "z", ...lines);
    start();
    await clock.pass(MOMENT);
    expect(standings(holder)).toEqual(["kept.example.org published"]);
    siteFiles.directories = (path, viewer) => (path === "/srv/kept" ? "there is no such directory" : viewer.uid);
    const other = site(ALICE, "a", "kept.example.org");
    await review();
    expect(standings(holder, other)).toEqual(["kept.example.org refused", "kept.example.org refused"]);
    expect(reasonOf(holder)).toMatch(/there is no such directory/);
    expect(reasonOf(other)).toMatch(/held by a daemon of another owner/);
    remove(holder);
    // Its id sorts before that of the other claimant.
    const late = add(ALICE, "A", ...lines);
    await review();
    // The docroot is looked for again after a while, by itself.
    await clock.pass(LONG);
    expect(standings(other, late)).toEqual(["kept.example.org published", "kept.example.org refused"]);
  });

  it("a host is refused to a daemon that the policy forbids, which still holds it", async () => {
    const one = site(BOB, "z", "a.example.org");
    start();
    await clock.pass(MOMENT);
    const block: State["block"] = { kind: "forbidden", reason: "bob must not run as www" };
    one.state = { ...initial, block };
    await review();
    expect(standings(one)).toEqual(["a.example.org refused"]);
    const other = site(ALICE, "a", "a.example.org");
    await review();
    expect(standings(one, other)).toEqual(["a.example.org refused", "a.example.org refused"]);
    expect(reasonOf(one)).toBe("host a.example.org: bob must not run as www");
  });

  it("a host that the policy does not grant is refused for that, although its daemon is forbidden as well", async () => {
    const one = site(ALICE, "a", "a.example.net", "a.example.org");
    one.state = { ...initial, block: { kind: "forbidden", reason: "alice must not run as www" } };
    start();
    await clock.pass(MOMENT);
    expect(one.hosts.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^host a\.example\.net is not granted to alice: /),
      "host a.example.org: alice must not run as www",
    ]);
  });

  it("a host is refused if its owner has 256 hosts already", async () => {
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

  it("a host beyond the 256 of its owner that is refused for another reason keeps that reason", async () => {
    const held = site(ALICE, "z", "z.example.org");
    start();
    await clock.pass(MOMENT);
    remove(held);
    for (let at = 0; at < 8; at += 1) {
      site(ALICE, `d${at}`, ...Array.from({ length: 32 }, (_, host) => `h${host}.d${at}.example.org`));
    }
    const forbidden = site(ALICE, "z", "z.example.org");
    forbidden.state = { ...initial, block: { kind: "forbidden", reason: "alice must not run as www" } };
    await review();
    expect(reasonOf(forbidden)).toBe("host z.example.org: alice must not run as www");
  });

  it("a host is withdrawn when the conf file no longer names it", async () => {
    const one = site(ALICE, "a", "a.example.org");
    start();
    await clock.pass(MOMENT);
    one.serving = termsOf(ALICE, ["listen = http"]);
    await review();
    expect([one.hosts, server.inForce().text, record.recorded]).toEqual([[], "", { holders: {}, sites: {} }]);
  });
});
