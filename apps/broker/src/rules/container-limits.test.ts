import { expect, test } from "vitest";
import { UNLIMITED } from "../../../supervisor/src/core/resource-limits.ts";
import { containerLimits } from "./container-limits.ts";

const MIB = 1 << 20;
const share = (amount: number) => ({ amount, line: 1 });

test("a container without limits has a number of processes that is bounded", () => {
  expect(containerLimits(UNLIMITED, {}, 4)).toEqual({ memory: undefined, processes: 513, nanoCpus: undefined });
});

test("the limits are those of the conf file, and the shim has a place besides", () => {
  const own = { ...UNLIMITED, memory: 64 * MIB, processes: 20, cpu: 0.5 };
  expect(containerLimits(own, {}, 4)).toEqual({ memory: 64 * MIB, processes: 21, nanoCpus: 500_000_000 });
});

test("no limit exceeds the budget of the owner", () => {
  const budget = { memory: share(32 * MIB), processes: share(10), cpu: share(0.25) };
  const own = { ...UNLIMITED, memory: 64 * MIB, processes: 20, cpu: 0.5 };
  const expected = { memory: 32 * MIB, processes: 11, nanoCpus: 250_000_000 };
  expect(containerLimits(own, budget, 4)).toEqual(expected);
  expect(containerLimits(UNLIMITED, budget, 4)).toEqual(expected);
});

test("more processors than the machine has are no limit, which the engine would refuse", () => {
  expect(containerLimits({ ...UNLIMITED, cpu: 4 }, {}, 4).nanoCpus).toBeUndefined();
  expect(containerLimits({ ...UNLIMITED, cpu: 3.5 }, {}, 4).nanoCpus).toBe(3_500_000_000);
});

test("memory that no engine gives is refused", () => {
  expect(() => containerLimits({ ...UNLIMITED, memory: 4 * MIB }, {}, 4)).toThrow(
    "memory: a container needs at least 6 MiB, and this one may have 4 MiB; raise it",
  );
});
