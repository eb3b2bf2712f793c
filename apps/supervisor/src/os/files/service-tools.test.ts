import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { findServiceTools } from "./service-tools.ts";

const checkout = resolve(import.meta.dirname, "../../../../..");

test("a supervisor in its checkout, and one installed beside the folder, find it", () => {
  const folder = join(checkout, "daemontools");
  expect(findServiceTools(join(checkout, "apps/supervisor/src/app/main.ts"))).toBe(folder);
  expect(findServiceTools(join(checkout, "supervisor.js"))).toBe(folder);
});

test("one that has lost it says so", () => {
  expect(() => findServiceTools("/nowhere/supervisor.js")).toThrow("beside /nowhere/supervisor.js");
});
