import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Deployment } from "./deployment.ts";
import { HandClock, settle } from "./ports/clock.fake.ts";
import { type Complaint, refuse } from "./ports/nginx.fake.ts";
import { FakeWebServer } from "./ports/web-server.fake.ts";
import { textOf, type Vhosts } from "./selection.ts";

let clock: HandClock;
let web: FakeWebServer;
let deployment: Deployment;
let changes: number;
const start = (): void => {
  deployment = new Deployment({
    web,
    clock,
    reloadInterval: 15_000,
    onChange: () => {
      changes += 1;
    },
  });
};
beforeEach(() => {
  clock = new HandClock();
  web = new FakeWebServer();
  changes = 0;
  start();
});

const site = (name: string): Vhosts => ({
  id: `alice/${name}`,
  owner: "alice",
  text: `# site alice/${name}\n"${name}"\n`,
  files: [name],
});
const sites = (...names: string[]): Vhosts[] => names.map(site);
const inForce = (): string => web.inForce().text;
const refuseSites = (complaint: Complaint, ...names: string[]): void =>
  refuse(web, new Map(names.map((name) => [name, complaint])));

describe("a deployment", () => {
  it("a deployment waits until the web server is connected, and then sends its request at once", async () => {
    deployment.deploy(sites("a"));
    await clock.pass(5000);
    expect([web.requests.length, deployment.problem]).toEqual([0, undefined]);
    web.connect();
    await settle();
    expect(inForce()).toBe(textOf(sites("a")));
    expect([deployment.isServed(site("a").text), deployment.isSettled]).toEqual([true, true]);
  });

  it("a deployment reports a web server that has been absent for ten seconds, until it connects", async () => {
    deployment.deploy(sites("a"));
    await clock.pass(10_000);
    expect(deployment.problem).toEqual({ kind: "failed", reason: "the web server has not connected" });
    web.connect();
    await clock.pass(1000);
    expect(deployment.problem).toBeUndefined();
  });

  it("a deployment sends no request when there are no sites and never were", async () => {
    deployment.deploy([]);
    web.connect();
    await clock.pass(1_000_000);
    expect([web.requests.length, clock.pending]).toEqual([0, 0]);
  });

  it("a deployment sends no request when the desired sites are in force already", async () => {
    web.leave(textOf(sites("b", "a")));
    start();
    deployment.deploy(sites("a", "b"));
    expect(deployment.isServed(site("a").text)).toBe(true);
    web.connect();
    await clock.pass(1_000_000);
    expect([web.requests.length, deployment.isSettled]).toEqual([0, true]);
  });

  it("a deployment leaves the sites in force unchanged until it has the desired sites", async () => {
    web.leave(textOf(sites("a")));
    start();
    web.connect();
    await clock.pass(1_000_000);
    expect([web.requests.length, inForce()]).toEqual([0, textOf(sites("a"))]);
  });

  it("a deployment repeats the request for the same sites after a failed reload", async () => {
    web.leave(textOf(sites("a")), false);
    start();
    deployment.deploy(sites("a"));
    web.connect();
    await settle();
    expect([web.reloads, deployment.isSettled]).toEqual([1, true]);
  });

  it("a deployment restores sites that a start of Nginx lost when the web server connects again", async () => {
    deployment.deploy(sites("a"));
    web.connect();
    await settle();
    web.leave("");
    web.connect();
    await settle();
    expect(inForce()).toBe(textOf(sites("a")));
  });

  it("a deployment requests only the latest sites when several changes came during a request", async () => {
    web.connect();
    deployment.deploy(sites("a"));
    deployment.deploy(sites("a", "b"));
    deployment.deploy(sites("c"));
    await settle();
    expect(web.requests.map(({ text }) => text)).toEqual([textOf(sites("a")), textOf(sites("c"))]);
    expect(inForce()).toBe(textOf(sites("c")));
  });

  it("a deployment reloads three times at once, then every 15 seconds with all changes since", async () => {
    web.connect();
    for (const name of ["a", "b", "c", "d", "e", "f"]) {
      deployment.deploy(sites(name));
      await settle();
    }
    expect([web.reloads, inForce()]).toEqual([3, textOf(sites("c"))]);
    expect(deployment.isSettled).toBe(false);
    await clock.pass(14_999);
    expect(web.reloads).toBe(3);
    await clock.pass(1);
    expect([web.reloads, inForce()]).toEqual([4, textOf(sites("f"))]);
  });

  it("a deployment does not wait for the pace of reloads when no reload is due", async () => {
    web.connect();
    for (const name of ["a", "b", "c"]) {
      deployment.deploy(sites(name));
      await settle();
    }
    deployment.deploy(sites("d"));
    deployment.deploy(sites("c"));
    await settle();
    expect([web.reloads, deployment.isSettled, clock.pending]).toEqual([3, true, 0]);
  });

  it("a closed deployment leaves no timer, even after a failed request", async () => {
    web.connect();
    web.fault = { reason: "no room", reload: false };
    deployment.deploy(sites("a"));
    await settle();
    expect(clock.pending).toBe(1);
    deployment.close();
    expect(clock.pending).toBe(0);
  });

  it("a closed deployment sends no request, even when an answer arrives later", async () => {
    web.connect();
    deployment.deploy(sites("a"));
    const before = changes;
    deployment.close();
    await settle();
    deployment.deploy(sites("b"));
    web.connect();
    await clock.pass(1_000_000);
    expect([web.requests.length, changes, clock.pending]).toEqual([1, before, 0]);
  });
});

describe("a deployment with refusals and failures", () => {
  it("a deployment keeps the complaint about each refused site, and does not try it with the next change", async () => {
    web.connect();
    refuseSites("file", "bad");
    deployment.deploy(sites("bad", "good"));
    await settle();
    expect(inForce()).toBe(textOf(sites("good")));
    expect(deployment.refusalOf(site("bad").text)).toContain('open() "bad" failed');
    expect(deployment.refused).toEqual([{ id: "alice/bad", complaint: expect.stringContaining("bad") }]);
    expect(deployment.isSettled).toBe(true);
    const before = web.requests.length;
    deployment.deploy(sites("bad", "good", "new"));
    await settle();
    expect([web.requests.length - before, inForce()]).toEqual([1, textOf(sites("good", "new"))]);
  });

  it("a deployment tries refused sites every minute, keeps the previous complaint meanwhile, and does not reload", async () => {
    web.connect();
    refuseSites("file", "bad");
    deployment.deploy(sites("bad", "good"));
    await settle();
    const { judge } = web;
    const during: (string | undefined)[] = [];
    web.judge = (text) => {
      during.push(deployment.refusalOf(site("bad").text));
      return judge(text);
    };
    await clock.pass(180_000);
    // Each minute one trial with the refused site, and one of those in force without it.
    expect(during).toHaveLength(6);
    expect(during.every((complaint) => complaint?.includes("bad"))).toBe(true);
    expect(web.reloads).toBe(1);
    web.judge = () => ({ kind: "accepted" });
    await clock.pass(60_000);
    expect(inForce()).toBe(textOf(sites("bad", "good")));
    expect([deployment.refused, clock.pending]).toEqual([[], 0]);
  });

  it("a deployment tries refused sites after a minute even if others change all the time", async () => {
    web.connect();
    refuseSites("file", "bad");
    deployment.deploy(sites("bad", "good"));
    await settle();
    refuseSites("file");
    for (let change = 0; change < 3; change += 1) {
      await clock.pass(29_000);
      deployment.deploy(sites("bad", `good-${change}`));
      await settle();
    }
    expect(deployment.refused).toEqual([]);
    expect(inForce()).toBe(textOf(sites("bad", "good-2")));
  });

  it("a deployment tries refused sites again with the next request when the one after a minute failed", async () => {
    web.connect();
    refuseSites("file", "bad");
    deployment.deploy(sites("bad", "good"));
    await settle();
    refuseSites("file");
    web.fault = { reason: "no room", reload: false };
    await clock.pass(60_000);
    web.fault = undefined;
    await clock.pass(1000);
    expect([inForce(), deployment.refused]).toEqual([textOf(sites("bad", "good")), []]);
  });

  it("a deployment forgets refusals of sites that are not wanted any more", async () => {
    web.connect();
    refuseSites("line", "bad");
    deployment.deploy(sites("bad", "good"));
    await settle();
    deployment.deploy(sites("good"));
    await settle();
    expect([deployment.refused, deployment.refusalOf(site("bad").text), clock.pending]).toEqual([[], undefined, 0]);
  });

  it("a deployment keeps sites in force when Nginx refuses its configuration whatever the sites, and retries every minute", async () => {
    web.connect();
    deployment.deploy(sites("a"));
    await settle();
    web.judge = () => ({ kind: "refused", complaint: "own.conf", line: undefined });
    deployment.deploy(sites("a", "b"));
    await settle();
    expect(deployment.problem).toEqual({ kind: "refused", reason: "own.conf" });
    expect([inForce(), deployment.isServed(site("a").text)]).toEqual([textOf(sites("a")), true]);
    web.judge = () => ({ kind: "accepted" });
    await clock.pass(60_000);
    expect([deployment.problem, inForce()]).toEqual([undefined, textOf(sites("a", "b"))]);
  });

  it("a deployment repeats a failed request after a second, then at growing intervals", async () => {
    web.connect();
    web.fault = { reason: "no room", reload: false };
    deployment.deploy(sites("a"));
    await settle();
    expect(deployment.problem).toEqual({ kind: "failed", reason: "no room" });
    await clock.pass(300_000);
    expect(web.requests.length).toBeGreaterThan(8);
    expect(web.requests.length).toBeLessThan(14);
    web.fault = undefined;
    await clock.pass(60_000);
    expect([deployment.problem, inForce()]).toEqual([undefined, textOf(sites("a"))]);
  });

  it("a deployment repeats a request after a second again once one has succeeded, or the web server has connected again", async () => {
    const requestsWithin = async (time: number): Promise<number> => {
      const before = web.requests.length;
      await clock.pass(time);
      return web.requests.length - before;
    };
    web.connect();
    web.fault = { reason: "no room", reload: false };
    deployment.deploy(sites("a"));
    await clock.pass(20_000);
    web.fault = undefined;
    await clock.pass(60_000);
    expect(deployment.isSettled).toBe(true);
    web.fault = { reason: "no room", reload: false };
    deployment.deploy(sites("b"));
    await settle();
    // Requests after 1 s and after 2 s more.
    expect(await requestsWithin(3000)).toBe(2);
    await clock.pass(20_000);
    web.connect();
    expect(await requestsWithin(3000)).toBe(2);
  });

  it("a deployment counts a reload that failed in its pace of reloads", async () => {
    web.connect();
    web.fault = { reason: "nginx does not reload", reload: true };
    deployment.deploy(sites("a"));
    // At once, after 1 s and after 2 s more; the next one has to wait for the pace.
    await clock.pass(3000);
    expect(web.reloads).toBe(3);
    await clock.pass(11_000);
    expect(web.reloads).toBe(3);
    await clock.pass(2000);
    expect(web.reloads).toBe(4);
  });

  it("a deployment reloads the previous sites once more after a failed reload", async () => {
    web.connect();
    deployment.deploy(sites("a"));
    await settle();
    web.fault = { reason: "nginx does not reload", reload: true };
    deployment.deploy(sites("b"));
    await settle();
    expect([deployment.isServed(site("a").text), deployment.isServed(site("b").text)]).toEqual([true, false]);
    web.fault = undefined;
    deployment.deploy(sites("a"));
    await clock.pass(15_000);
    expect([web.reloads, deployment.isSettled, inForce()]).toEqual([3, true, textOf(sites("a"))]);
  });

  it("a deployment sends at most one request a second when the web server disconnects during each", async () => {
    web.connect();
    await clock.pass(100_000);
    web.judge = () => {
      web.disconnect();
      web.connect();
      return { kind: "failed", reason: "it went away" };
    };
    deployment.deploy(sites("a"));
    await clock.pass(10_000);
    expect(deployment.problem?.reason).toBe("it went away");
    expect(web.requests.length).toBeGreaterThan(8);
    expect(web.requests.length).toBeLessThan(12);
    web.disconnect();
    web.judge = () => ({ kind: "accepted" });
    await clock.pass(1000);
    web.connect();
    await clock.pass(1000);
    expect(inForce()).toBe(textOf(sites("a")));
  });
});

it("a deployment serves each wanted site that Nginx accepts, and no other, a while after whatever has happened", async () => {
  const names = ["a", "b", "c", "d", "e"];
  const event = fc.oneof(
    fc.record({ kind: fc.constant("want" as const), names: fc.subarray(names) }),
    fc.record({ kind: fc.constant("refuse" as const), names: fc.subarray(names) }),
    fc.record({ kind: fc.constantFrom("connect", "disconnect", "fault", "reload fault", "recover", "lose") }),
    fc.record({ kind: fc.constant("pass" as const), time: fc.integer({ min: 0, max: 90_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 25 }),
      fc.constantFrom<Complaint>("line", "file", "vague"),
      async (events, how) => {
        clock = new HandClock();
        web = new FakeWebServer();
        start();
        deployment.deploy([]);
        let wanted: string[] = [];
        let bad: string[] = [];
        for (const each of events) {
          if ("names" in each) {
            if (each.kind === "want") wanted = each.names;
            else bad = each.names;
            if (each.kind === "want") deployment.deploy(sites(...wanted));
            else refuseSites(how, ...bad.map((name) => `"${name}"`));
          } else if ("time" in each) await clock.pass(each.time);
          else if (each.kind === "connect") web.connect();
          else if (each.kind === "disconnect") web.disconnect();
          else if (each.kind === "recover") web.fault = undefined;
          else if (each.kind === "lose") {
            await settle();
            web.leave("", false);
            web.connect();
          } else web.fault = { reason: "no room", reload: each.kind === "reload fault" };
        }
        web.fault = undefined;
        web.connect();
        await clock.pass(300_000);
        const served = wanted.filter((name) => inForce().includes(site(name).text));
        expect(inForce().length).toBe(textOf(sites(...served)).length);
        // A site that is served already may become one that Nginx would refuse.
        expect(served).toEqual(expect.arrayContaining(wanted.filter((name) => !bad.includes(name))));
        const refused = deployment.refused.map(({ id }) => id);
        expect(refused).toEqual(wanted.filter((name) => !served.includes(name)).map((name) => `alice/${name}`));
        expect(served.every((name) => deployment.isServed(site(name).text))).toBe(true);
        expect([deployment.problem, deployment.isSettled]).toEqual([undefined, true]);
      },
    ),
  );
}, 60_000);
