import { expect, test } from "vitest";
import { cgroupParent, ownerSlice } from "./cgroup-parent.ts";

const purpose = { owner: "alice", name: "my.web", instance: 2, run: 17 };

test("under cgroupfs a container is in the cgroup of its run", () => {
  const cgroup = "/dmhost-run/alice/my.web.d/2-17";
  expect(cgroupParent("cgroupfs", purpose, cgroup)).toBe(cgroup);
  expect(cgroupParent("cgroupfs", purpose, undefined)).toBeUndefined();
});

test.each([
  "/dmhost-run/bob/my.web.d/2-17",
  "/dmhost-run/alice/my.web.d/2-18",
  "/dmhost-run/alice/my.web.d/2-17/x",
  "/dmhost-run/../x/alice/my.web.d/2-17",
  "/./alice/my.web.d/2-17",
  "/xalice/my.web.d/2-17",
])("the cgroup %s is none of this run's", (cgroup) => {
  expect(() => cgroupParent("cgroupfs", purpose, cgroup)).toThrow("expected one that ends in /alice/my.web.d/2-17");
});

test("under systemd it is in the slice of its owner, whose name is escaped", () => {
  expect(cgroupParent("systemd", purpose, "/whatever")).toBe("dmhost-alice.slice");
  expect(ownerSlice("anna-b.c_d")).toBe("dmhost-anna\\x2db.c_d.slice");
});
