import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { findServiceTools } from "./service-tools.ts";

const checkout = resolve(import.meta.dirname, "../../../../..");

test("findServiceTools finds the directory in a checkout and in an installation", () => {
  const directory = join(checkout, "daemontools");
  expect(findServiceTools(join(checkout, "apps/supervisor/src/app/main.ts"))).toBe(directory);
  expect(findServiceTools(join(checkout, "supervisor.cjs"))).toBe(directory);
});

test("findServiceTools names the program beside which the directory is missing", () => {
  expect(() => findServiceTools("/nowhere/supervisor.cjs")).toThrow("beside /nowhere/supervisor.cjs");
});
