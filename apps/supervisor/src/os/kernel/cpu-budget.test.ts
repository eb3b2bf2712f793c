import { expect, it } from "vitest";
import { CpuBudget } from "./cpu-budget.ts";

/** A budget of a twentieth, and 10 ms saved up, with a clock that goes on as told. */
const budget = () => {
  const clock = { now: 1000 };
  return { clock, own: new CpuBudget(0.05, 10, () => clock.now) };
};

it("a CPU budget grows with its share of the time up to its burst", () => {
  const { clock, own } = budget();
  expect([own.balance, own.wait]).toEqual([10, 0]);
  own.charge(() => {
    clock.now += 20;
  });
  expect(own.balance).toBe(-10);
  clock.now += own.wait;
  expect(own.balance).toBeGreaterThan(0);
  clock.now += 100_000;
  expect(own.balance).toBe(10);
});

it("a CPU budget limits slow work to its share of the time", () => {
  const { clock, own } = budget();
  const end = clock.now + 60_000;
  let worked = 0;
  while (clock.now < end) {
    own.charge(() => {
      clock.now += 30;
      worked += 30;
    });
    clock.now += Math.max(10, own.wait);
  }
  expect(worked / 60_000).toBeLessThan(0.052);
});

it("a CPU budget charges work that throws", () => {
  const { clock, own } = budget();
  const fail = (): never => {
    clock.now += 50;
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
