import { expect, it } from "vitest";
import { ReloadPace } from "./reload-pace.ts";

it("three reloads may follow each other, and then one in each interval", () => {
  let now = 1000;
  const pace = new ReloadPace({ now: () => now }, 15_000);
  for (let reload = 0; reload < 3; reload += 1) {
    expect(pace.wait()).toBe(0);
    pace.take();
  }
  expect(pace.wait()).toBe(15_000);
  now += 14_000;
  expect(pace.wait()).toBe(1000);
  now += 1000;
  expect(pace.wait()).toBe(0);
  pace.take();
  expect(pace.wait()).toBe(15_000);
  now += 1_000_000;
  for (let reload = 0; reload < 3; reload += 1) pace.take();
  expect(pace.wait()).toBe(15_000);
});
