import { expect, test } from "vitest";
import { PullProgress } from "./pull-progress.ts";

const downloading = (id: string, current: number, total: number) => ({
  status: "Downloading",
  id,
  progressDetail: { current, total },
});

test("the percentage is over the bytes of all layers, and never falls", () => {
  const progress = new PullProgress();
  const lines = [
    { status: "Pulling from library/php", id: "8.4" },
    { status: "Pulling fs layer", id: "a", progressDetail: {} },
    downloading("a", 50, 100),
    downloading("b", 0, 300),
    downloading("b", 200, 300),
    { status: "Download complete", id: "a" },
    { status: "Extracting", id: "a", progressDetail: { current: 1, total: 100 } },
    { status: "Pull complete", id: "b" },
  ];
  expect(lines.map((line) => progress.take(line))).toEqual([
    undefined,
    undefined,
    50,
    undefined,
    62,
    75,
    undefined,
    100,
  ]);
});

test("an error is kept in the registry's words", () => {
  const progress = new PullProgress();
  progress.take({ error: "short", errorDetail: { message: "manifest unknown" } });
  expect(progress.failure).toBe("manifest unknown");
});

test("lines of another form and layers beyond a bound are passed over", () => {
  const progress = new PullProgress();
  expect([7, null, {}, { id: 3 }, downloading("a", 1, 0)].map((line) => progress.take(line))).toEqual(
    Array(5).fill(undefined),
  );
  for (let layer = 0; layer < 600; layer += 1) progress.take(downloading(`l${layer}`, 1, 1));
  expect(progress.take(downloading("late", 0, 1_000_000))).toBeUndefined();
});
