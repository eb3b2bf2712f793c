import { expect, test } from "vitest";
import { requireHome } from "./container-places.ts";

test.each(["/home/alice", "/srv/x y/z", "/run/dmhost2"])("a container can have the home %s", (home) => {
  expect(() => requireHome(home)).not.toThrow();
});

test.each([
  "/",
  "/run",
  "/run/dmhost",
  "/run/dmhost/x",
  "/proc/1",
  "/sys",
  "/dev/shm/x",
  "/dmhost-shim",
  "/home/../etc",
  "/a,b",
  "/a:b",
  "a",
])("a container cannot have the home %s", (home) => {
  expect(() => requireHome(home)).toThrow("a container cannot have the home");
});
