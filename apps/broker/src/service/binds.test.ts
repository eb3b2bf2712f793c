import { statSync } from "node:fs";
import { expect, test } from "vitest";
import { boundHome } from "./binds.ts";
import { firstProcessObjection } from "./first-process.ts";

const account = (home: string, uid = 4_000_000) => ({ name: "alice", uid, gid: uid, home, shell: "/bin/sh" });

test.each([
  ["/nonexistent/alice", "cannot be looked at: ENOENT"],
  ["/proc/self", "a container cannot have the home"],
  ["/etc/passwd", "is not a directory"],
  ["/usr", "belongs to uid 0, and a container gets only what is alice's"],
])("the home %s is refused: %s", (home, reason) => {
  expect(() => boundHome(account(home), [])).toThrow(reason);
});

test("a directory that is the account's, in directories of root, is bound with what the kernel knows it by", () => {
  const { dev, ino } = statSync("/etc", { bigint: true });
  expect(boundHome(account("/etc", 0), [])).toEqual({ path: "/etc", device: String(dev), inode: String(ino) });
});

test("a first process that has ended, or that this machine cannot see, proves nothing", () => {
  const found = { id: "f".repeat(64), labels: {}, running: true, exitCode: 111, oomKilled: false, pid: 0 };
  const ids = { uid: 1, gid: 1, groups: [] };
  const home = { path: "/home/alice", device: "1", inode: "2" };
  expect(firstProcessObjection(found, ids, [home])).toBe("its first process, the shim, ended at once with code 111");
  expect(firstProcessObjection({ ...found, pid: process.pid }, ids, [home])).toContain("is not visible in /proc");
});
