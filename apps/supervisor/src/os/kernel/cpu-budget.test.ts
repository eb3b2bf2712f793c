import { expect, it } from "vitest";
import { CpuBudget, threadClock } from "./cpu-budget.ts";

/** A budget of a twentieth, and 10 ms saved up, with clocks that go on as told; `work` uses the processor all the time. */
const budget = () => {
  const clock = { now: 1000, used: 0 };
  const work = (ms: number): void => {
    clock.now += ms;
    clock.used += ms;
  };
  return { clock, work, own: new CpuBudget(0.05, 10, { now: () => clock.now, used: () => clock.used }) };
};

it("a CPU budget grows with its share of the time up to its burst", () => {
  const { clock, work, own } = budget();
  expect([own.balance, own.wait]).toEqual([10, 0]);
  own.charge(() => work(20));
  expect(own.balance).toBe(-10);
  clock.now += own.wait;
  expect(own.balance).toBeGreaterThan(0);
  clock.now += 100_000;
  expect(own.balance).toBe(10);
});

it("a CPU budget charges the processor time of work, not the time that it waits for a busy machine", () => {
  const { clock, own } = budget();
  own.charge(() => {
    clock.now += 500;
    clock.used += 3;
  });
  expect(own.balance).toBe(7);
});

it("a CPU budget limits slow work to its share of the time", () => {
  const { clock, work, own } = budget();
  const end = clock.now + 60_000;
  let worked = 0;
  while (clock.now < end) {
    own.charge(() => work(30));
    worked += 30;
    clock.now += Math.max(10, own.wait);
  }
  expect(worked / 60_000).toBeLessThan(0.052);
});

it("a CPU budget charges work that throws", () => {
  const { work, own } = budget();
  const fail = (): never => {
    work(50);
    throw new Error("no");
  };
  expect(() => own.charge(fail)).toThrow("no");
  expect(own.balance).toBeLessThan(0);
});

it("a CPU budget executes queued work in order, also behind slow work, and no cancelled work", async () => {
  const own = new CpuBudget(0.5, 1);
  const turns: string[] = [];
  let end = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  const greedy = (): void => {
    turns.push("greedy");
    for (const until = performance.now() + 5; performance.now() < until; );
    if (turns.length < 10) own.inTurn(greedy);
  };
  const modest = (): void => {
    turns.push("modest");
    if (turns.length < 10) own.inTurn(modest);
    else end();
  };
  own.inTurn(greedy);
  own.inTurn(() => turns.push("nobody"))();
  own.inTurn(modest);
  await over;
  expect(turns.filter((turn) => turn === "modest").length).toBeGreaterThanOrEqual(4);
  expect(turns).not.toContain("nobody");
});

it("the processor time of a thread does not grow while it sleeps", () => {
  const [now, used] = [threadClock.now(), threadClock.used()];
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  // A sleep of 100 ms costs less than 1 ms of it.
  expect(threadClock.used() - used).toBeLessThan((threadClock.now() - now) / 2);
});
