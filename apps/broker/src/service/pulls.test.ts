import { expect, test } from "vitest";
import { Pulls } from "./pulls.ts";

/** A pull that ends when the test says so. */
const pull = (pulls: Pulls, owner: string, begun: string[], name: string) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = pulls.do(owner, () => {
    begun.push(name);
    return promise;
  });
  return { done, end: resolve };
};

test("one pull of an owner and two in all go on at a time, the others in their order", async () => {
  const pulls = new Pulls();
  const begun: string[] = [];
  const [a1, a2, b1, c1] = [
    ["a", "a1"],
    ["a", "a2"],
    ["b", "b1"],
    ["c", "c1"],
  ].map(([owner = "", name = ""]) => pull(pulls, owner, begun, name));
  expect(begun).toEqual(["a1", "b1"]);
  b1?.end();
  await b1?.done;
  await Promise.resolve();
  expect(begun).toEqual(["a1", "b1", "c1"]);
  a1?.end();
  await a1?.done;
  await Promise.resolve();
  expect(begun).toEqual(["a1", "b1", "c1", "a2"]);
  a2?.end();
  c1?.end();
  await Promise.all([a2?.done, c1?.done]);
});

test("more than four that wait are refused, and a failed pull makes room", async () => {
  const pulls = new Pulls();
  const first = pulls.do("a", () => Promise.reject(new Error("no")));
  const others = Array.from({ length: 4 }, () => pulls.do("a", () => Promise.resolve("yes")));
  await expect(pulls.do("a", () => Promise.resolve("late"))).rejects.toThrow("4 pulls of a wait already");
  await expect(first).rejects.toThrow("no");
  expect(await Promise.all(others)).toEqual(Array(4).fill("yes"));
});

test("progress is reported four times a second at most", () => {
  let now = 0;
  const reported: number[] = [];
  const report = new Pulls(() => now).paced((percent) => reported.push(percent));
  for (now = 0; now <= 1000; now += 50) report(now / 10);
  expect(reported).toEqual([0, 25, 50, 75, 100]);
});
