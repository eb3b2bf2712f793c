import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hasStarved } from "./cgroup.ts";

let group = "";
beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), "dmhost-test-"));
});
afterEach(() => rmSync(group, { recursive: true }));

// What the kernel writes (cgroup-v2: memory.events); not every machine that tests has the controller.
test.each<[string, boolean]>([
  ["low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n", true],
  ["low 0\nhigh 0\nmax 12\noom 1\noom_kill 12\n", true],
  ["low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 0\n", false],
  ["low 0\nhigh 0\nmax 0\noom 0\noom_group_kill 1\n", false],
])("whether the kernel has killed any of it, by %j", (events, expected) => {
  writeFileSync(join(group, "memory.events"), events);
  expect(hasStarved(group)).toBe(expected);
});

test("where nobody counts, nobody knows", () => {
  expect(hasStarved(group)).toBe(false);
});
