import { describe, expect, test } from "vitest";
import { OwnerContexts } from "./owner-context.ts";
import { FakeClock } from "./ports/clock.fake.ts";
import { Scene } from "./scene.fake.ts";

describe("the restart budget of an owner", () => {
  test("a restart beyond the budget has to wait until the first of the last minute is a minute old", async () => {
    const clock = new FakeClock();
    const contexts = new OwnerContexts(clock, {
      budget: (owner) => (owner === "alice" ? { restarts: { amount: 2, line: 1 } } : {}),
      logShare: () => undefined,
    });
    const [alice, bob] = [contexts.of("alice"), contexts.of("bob")];
    const first = clock.now();
    alice.restarted();
    await clock.advance(10_000);
    expect(alice.earliest(clock.now())).toBe(clock.now());
    alice.restarted();
    bob.restarted();
    expect(alice.earliest(clock.now())).toBe(first + 60_000);
    expect(bob.earliest(clock.now())).toBe(clock.now());
    expect(contexts.of("alice").earliest(clock.now())).toBe(first + 60_000);
  });

  test("all daemons of an owner share the restarts, and one that has to wait is throttled", async () => {
    const scene = new Scene({ limits: { alice: { restarts: 1 } } });
    const [one, other] = [await scene.load("one"), await scene.load("other")];
    scene.ports.runs.all[0]?.end({ code: 1 });
    await scene.ports.clock.advance(200);
    expect(one.state.phase).toBe("running");
    scene.ports.runs.all[1]?.end({ code: 1 });
    await scene.ports.clock.advance(200);
    expect(other.state).toMatchObject({ phase: "coolingdown", throttled: true });
    await scene.ports.clock.advance(60_000);
    expect(other.state.phase).toBe("running");
  });

  test("the log budget is shared among the daemons of the owner that have a log", async () => {
    const scene = new Scene({ limits: { alice: { log: 1 << 20 } } });
    const daemon = await scene.load("one", { output: "log" });
    expect(daemon.ownerContext.logShare()).toBe(1 << 20);
    await scene.load("other", { output: "log" });
    await scene.load("silent");
    expect(daemon.ownerContext.logShare()).toBe(1 << 19);
  });
});
