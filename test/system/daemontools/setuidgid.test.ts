/** `setuidgid` and `setlock`: Debian's and ours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "../account.ts";
import { run } from "../program.ts";
import { Stage } from "../stage.ts";
import { compare, copyTools, type Side } from "./comparison.ts";

let stage: Stage;
let tools: string;
let alice: Account;
let bob: Account;
let extra: number;
beforeAll(async () => {
  stage = await Stage.make();
  tools = copyTools(stage.directory);
  extra = await stage.group("extra");
  alice = await stage.account("alice");
  bob = await stage.account("bob", "extra");
});
afterAll(() => stage.remove());

const program = (side: Side, name: string): string => (side === "old" ? `/usr/bin/${name}` : join(tools, name));

/** Real, effective, saved and file system id, all equal. */
const same = (id: number): string => `${id} ${id} ${id} ${id}`;

/** Ids of a program that `words` exec. */
const identity = async (words: readonly string[]) => {
  const { code, stdout } = await run([...words, "/bin/grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"]);
  return { code, ids: stdout.replaceAll(/\s+/g, " ").trim() };
};

test("setuidgid by root sets uid, gid and groups of an account without supplementary groups, as Debian's does", async () => {
  const { ours } = await compare((side) => identity([program(side, "setuidgid"), alice.name]), undefined);
  expect(ours).toEqual({
    code: 0,
    ids: `Uid: ${same(alice.uid)} Gid: ${same(alice.gid)} Groups: ${alice.gid}`,
  });
});

test("setuidgid by root sets an account's supplementary groups, unlike Debian's", async () => {
  const groups = { difference: "setuidgid-groups" };
  const all = (await identity(bob.become)).ids.split("Groups: ")[1] ?? "";
  expect(all.split(" ").sort()).toEqual([`${bob.gid}`, `${extra}`].sort());
  const becomes = (list: string) => ({ code: 0, ids: `Uid: ${same(bob.uid)} Gid: ${same(bob.gid)} Groups: ${list}` });
  await compare((side) => identity([program(side, "setuidgid"), bob.name]), groups.difference, {
    old: becomes(`${bob.gid}`),
    ours: becomes(all),
  });
});

test("setuidgid by the account itself runs the program, unlike Debian's", async () => {
  const self = { difference: "setuidgid-self" };
  await compare((side) => identity([...bob.become, program(side, "setuidgid"), bob.name]), self.difference, {
    old: { code: 111, ids: "" },
    ours: await identity(bob.become),
  });
});

test("setuidgid refuses a process of which only the real or effective uid is the account's, as Debian's does", async () => {
  // The shell that runs ours drops an effective uid that is not its real one, but keeps it as its saved uid.
  for (const [real, effective] of [
    [alice.uid, bob.uid],
    [bob.uid, alice.uid],
  ]) {
    const become = ["perl", "-e", `($<, $>) = (${real}, ${effective}); exec @ARGV`];
    const attempt = (side: Side) => identity([...become, program(side, "setuidgid"), bob.name]);
    expect((await compare(attempt, undefined)).ours).toEqual({ code: 111, ids: "" });
  }
});

test("setuidgid by another account fails, as Debian's does", async () => {
  const attempt = async (side: Side) => identity([...bob.become, program(side, "setuidgid"), alice.name]);
  expect((await compare(attempt, undefined)).ours).toEqual({ code: 111, ids: "" });
});

test.each(["no-such-account", "", "0", "0day", "+0", "-1", "../root", "root:x"])(
  "setuidgid refuses %j as no account, as Debian's does",
  async (name) => {
    for (const become of [[], alice.become]) {
      const attempt = (side: Side) => identity([...become, program(side, "setuidgid"), name]);
      expect((await compare(attempt, undefined)).ours).toEqual({ code: 111, ids: "" });
    }
  },
);

test("setuidgid refuses a uid in place of a name, as Debian's does", async () => {
  const attempt = (side: Side) => identity([program(side, "setuidgid"), String(alice.uid)]);
  expect((await compare(attempt, undefined)).ours.code).toBe(111);
});

test("setuidgid and setlock without a program fail with the same exit codes as Debian's", async () => {
  await compare(async (side) => (await run([program(side, "setuidgid"), alice.name])).code, undefined);
  await compare(async (side) => (await run([program(side, "setlock"), "file"])).code, undefined);
});

test("setuidgid names the account and the caller's uid when it fails", async () => {
  const { stderr } = await run([...bob.become, program("ours", "setuidgid"), nameFor("alice"), "/bin/true"]);
  expect(stderr).toBe(`setuidgid: fatal: unable to become ${alice.name}: only root may, and this is uid ${bob.uid}\n`);
});

test("setlock and Debian's setlock exclude each other", async () => {
  for (const holder of ["old", "ours"] as const) {
    const file = join(stage.directory, `lock-${holder}`);
    const child = spawn(program(holder, "setlock"), [file, "/bin/sh", "-c", "echo held; exec /bin/cat"]);
    try {
      await once(child.stdout, "data");
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const message = { difference: "setlock-message" };
      const attempt = async (side: Side) => {
        const { code, stderr } = await run([program(side, "setlock"), "-n", file, "/bin/true"]);
        return { code, stderr };
      };
      const failure = (why: string) => ({ code: 111, stderr: `setlock: fatal: unable to lock ${file}: ${why}\n` });
      await compare(attempt, message.difference, {
        old: failure("temporary failure"),
        ours: failure("another program holds it"),
      });
      const silent = (side: Side) => run([program(side, "setlock"), "-nx", file, "/bin/echo", "never"]);
      expect((await compare(silent, undefined)).ours).toEqual({ code: 0, stdout: "", stderr: "" });
      const waiting = run([program("ours", "setlock"), file, "/bin/echo", "at last"]);
      child.stdin.end();
      expect((await waiting).stdout).toBe("at last\n");
    } finally {
      child.kill("SIGKILL");
    }
  }
});

test("setlock fails with the same exit codes as Debian's when the lock file cannot be made", async () => {
  const attempt = (side: Side) => async (flags: readonly string[]) =>
    (await run([program(side, "setlock"), ...flags, "/nonexistent/lock", "/bin/true"])).code;
  for (const flags of [[], ["-n"], ["-x"], ["-nx"]]) await compare((side) => attempt(side)(flags), undefined);
});
