/**
 * How a conf file is written: as its owner, in one step, through no link, with the mode that it had
 * (docs/explanation/security.md#16).
 */
import { chmodSync, closeSync, lstatSync, openSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { makeConfFile, replaceConfFile } from "../../apps/supervisor/src/os/files/conf-write.ts";
import type { Account } from "./account.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
let alice: Account;
let path: string;
const OLD = "start = old";

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
});
afterAll(() => stage.remove());

// Umask of this process, which acts as the supervisor.
let umask: number;
beforeEach(() => {
  umask = process.umask(0o027);
  path = alice.writeConf("web", OLD);
});
afterEach(async () => {
  process.umask(umask);
  await alice.run(["rm", "-rf", dirname(path)]);
});

const identity = () => ({ uid: alice.uid, gid: alice.gid, groups: [alice.gid] });
const replace = (text: string): void => replaceConfFile(identity(), path, text);

test.each([0o644, 0o600, 0o640, 0o755])(
  "replacing a conf file of mode %o keeps its mode and owner under any umask",
  (mode) => {
    chmodSync(path, mode);
    replace("new\n");
    const stats = lstatSync(path);
    expect([stats.mode & 0o7777, stats.uid, stats.gid]).toEqual([mode, alice.uid, alice.gid]);
  },
);

test("replacing a conf file is atomic: open descriptors read the old text, new ones the new text", () => {
  const fd = openSync(path, "r");
  const { ino } = statSync(path);
  replace("new\n");
  expect([readFileSync(fd, "utf8"), readFileSync(path, "utf8")]).toEqual([`${OLD}\n`, "new\n"]);
  expect(statSync(path).ino).not.toBe(ino);
  closeSync(fd);
  expect(readdirSync(dirname(path))).toEqual(["web.conf"]);
});

test.each([
  ["a link", (at: string, to: string) => symlinkSync(to, at)],
  ["a directory", (at: string) => alice.makeDirectory(at.slice(alice.home.length + 1))],
])("replacing a conf file that has become %s fails and writes nothing", async (_, put) => {
  const bait = alice.write("bait", "bait\n", 0o777);
  await alice.run(["rm", path]);
  put(path, bait);
  expect(() => replace("new\n")).toThrow(/no longer a regular file/);
  expect([readFileSync(bait, "utf8"), lstatSync(path).isFile()]).toEqual(["bait\n", false]);
  expect(readdirSync(dirname(path))).toEqual(["web.conf"]);
});

test("a new conf file has mode 0600, and making one fails where a file or link exists", () => {
  const fresh = join(dirname(path), "fresh.conf");
  makeConfFile(identity(), fresh, "new\n");
  expect(lstatSync(fresh).mode & 0o7777).toBe(0o600);
  const link = join(dirname(path), "link.conf");
  symlinkSync(alice.home, link);
  for (const there of [fresh, link]) expect(() => makeConfFile(identity(), there, "other\n")).toThrow(/EEXIST/);
  expect(readFileSync(fresh, "utf8")).toBe("new\n");
});
