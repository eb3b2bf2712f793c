import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { privileged } from "../os/kernel/privileges.ts";
import { loadPolicy } from "./policy.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "policy-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (text: string, mode = 0o600): string => {
  const path = join(directory, "policy.conf");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};
const self = userInfo().username;

test("a policy is resolved with the accounts of the machine", () => {
  const { inForce, problems } = loadPolicy(write(`[runs_as]\n${self}:\n`));
  expect(inForce.policy.known(self)).toBe(true);
  expect(inForce.policy.known("daemon")).toBe(false);
  expect(inForce.accounts.users.get(self)?.uid).toBe(process.getuid?.());
  expect(problems).toEqual([]);
});

test("without root the supervisor's own account is the only owner", () => {
  expect(loadPolicy(write("")).inForce.soleOwner).toBe(privileged ? undefined : self);
});

test("a line that names a missing account is a problem with file and line, and the rest is in force", () => {
  const path = write(`[runs_as]\n${self}:\nno-such-account:\n`);
  const { inForce, problems } = loadPolicy(path);
  expect(problems).toEqual([expect.stringContaining(`${path}:3: `)]);
  expect(problems[0]).toContain("no-such-account");
  expect(inForce.policy.known(self)).toBe(true);
});

test("accounts that only [hosts] or [limits] name are looked up, too", () => {
  const path = write(`[hosts]\n${self}: example.org\n[limits]\n*: processes = 30\n${self}: processes = 20\n`);
  const { inForce, problems } = loadPolicy(path);
  expect(problems).toEqual([]);
  expect(inForce.accounts.users.get(self)?.uid).toBe(process.getuid?.());
  expect(inForce.policy.budget(self).processes?.amount).toBe(20);
});

test("a file with an error is refused with one line for each problem", () => {
  const path = write("[runs_as]\nanna ben\n[nonsense]\n");
  let message = "";
  try {
    loadPolicy(path);
  } catch (error) {
    message = String(error);
  }
  expect(message.split("\n").map((line) => line.replace(/^Error: /, "").slice(0, path.length + 3))).toEqual([
    `${path}:2:`,
    `${path}:3:`,
  ]);
});

test.each([
  [0o620, "mode 0620"],
  [0o602, "mode 0602"],
])("a file with mode %o that others may write is refused", (mode, expected) => {
  expect(() => loadPolicy(write("", mode))).toThrow(expected);
});

test("a missing file is refused with its path", () => {
  expect(() => loadPolicy(join(directory, "none"))).toThrow(
    `${directory}/none: the policy file cannot be opened: ENOENT`,
  );
});

test("a file that is not UTF-8 is refused with its line", () => {
  const path = join(directory, "policy.conf");
  writeFileSync(path, Buffer.from("[runs_as]\n# \xe9\n", "latin1"), { mode: 0o600 });
  expect(() => loadPolicy(path)).toThrow(`${path}:2: this line is not UTF-8 text`);
});

test.runIf(privileged)("a policy by which owners share a run-as account warns that they can harm each other", () => {
  const path = write("[runs_as]\ndaemon: nobody\nbin: nobody\n");
  expect(loadPolicy(path).problems).toEqual([
    expect.stringMatching(
      /(daemon, bin|bin, daemon) may all run daemons as nobody, so can read and stop each other's$/,
    ),
  ]);
});
