import { expect, it } from "vitest";
import { describeExit } from "./exit.ts";

it("an exit out of memory is described by the limit and the memory that was used", () => {
  const exit = (limit?: number, peak?: number) => describeExit({ how: "out-of-memory", limit, peak });
  const [limit, peak] = [64 * 1024 ** 2, 70 * 1024 ** 2];
  expect([exit(limit, peak), exit(limit), exit(undefined, peak), exit()]).toEqual([
    "out of memory: used 70 MiB of 64 MiB",
    "out of memory: the limit is 64 MiB",
    "out of memory: used 70 MiB",
    "out of memory",
  ]);
});

it("an exit for a missed ready-timeout is described by the timeout", () => {
  expect(describeExit({ how: "not-ready", after: 30_000 })).toBe("not ready after 30s (ready-timeout)");
});
