/** dmhost's daemontools as commands: `./dmhost up` links them beside dmctl, unless another program has the name. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CHECKOUT, run, succeed } from "../program.ts";
import { copyTools } from "./comparison.ts";

const NAMES = ["envdir", "multilog", "setlock", "setuidgid", "softlimit", "svc", "svstat", "tai64nlocal"];

let directory: string;
let bin: string;
let other: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-commands-"));
  bin = join(directory, "bin");
  other = join(directory, "other");
  copyTools(directory);
  for (const path of [bin, other]) mkdirSync(path);
  writeFileSync(join(bin, "dmctl"), '#!/bin/sh\necho "dmctl $*"\n', { mode: 0o755 });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs the linking step of `./dmhost up` with a PATH of `bin` and `other` only; returns its output. */
const link = async (): Promise<string> => {
  const programs = ["readlink", "rm", "ln"];
  for (const name of programs) await succeed("ln", "-sfn", `/usr/bin/${name}`, join(other, name));
  const script = `set -eu; step() { echo "$*"; }; programs=${directory} command_dir=${bin}; . host/daemontools.sh; link_tools`;
  const { code, stdout, stderr } = await run(["/bin/sh", "-c", script], {
    cwd: CHECKOUT,
    env: { PATH: `${bin}:${join(directory, "missing")}:${other}` },
  });
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
};
const linked = (): string[] => readdirSync(bin).filter((name) => lstatSync(join(bin, name)).isSymbolicLink());

test("dmhost up links each daemontools command beside dmctl, and a second run changes nothing", async () => {
  expect(await link()).toBe(`commands of daemontools: linked in ${bin}: ${NAMES.join(" ")}\n`);
  expect(linked()).toEqual(NAMES);
  expect(readlinkSync(join(bin, "svc"))).toBe(join(directory, "daemontools/svc"));
  expect(await link()).toBe("commands of daemontools: linked already\n");
  expect(linked()).toEqual(NAMES);
});

test("linked daemontools commands work when called by their links", async () => {
  await link();
  const env = { PATH: `${bin}:/usr/bin:/bin` };
  mkdirSync(join(directory, "env"));
  writeFileSync(join(directory, "env/A"), "x\n");
  const { stdout } = await run(["envdir", join(directory, "env"), "sh", "-c", 'echo "$A"'], { env });
  expect(stdout).toBe("x\n");
  expect((await run(["tai64nlocal"], { env })).stdout).toBe("dmctl tai64nlocal\n");
  const { stderr } = await run(["svc", "-u", join(directory, "env")], { env });
  expect(stderr).toContain(`svc: warning: unable to control ${join(directory, "env")}: `);
});

test("dmhost up links no command whose name another program on the PATH has, and removes its link once there is one", async () => {
  writeFileSync(join(other, "svc"), "", { mode: 0o755 });
  writeFileSync(join(other, "svstat"), "not executable", { mode: 0o644 });
  writeFileSync(join(bin, "multilog"), "the admin's");
  expect(await link()).toContain(
    `not linked, because these programs have the same names: ${bin}/multilog ${other}/svc\n`,
  );
  expect(linked()).toEqual(NAMES.filter((name) => !["multilog", "svc"].includes(name)));
  expect(lstatSync(join(bin, "multilog")).isFile()).toBe(true);
  chmodSync(join(other, "svstat"), 0o755);
  await link();
  expect(linked()).not.toContain("svstat");
  rmSync(join(other, "svc"));
  await link();
  expect(linked()).toContain("svc");
});

test("dmhost up removes links to commands that dmhost no longer has, and no other links", async () => {
  await link();
  rmSync(join(directory, "daemontools/setlock"));
  await succeed("ln", "-s", "/nonexistent", join(bin, "mine"));
  await link();
  expect(linked()).toEqual([...NAMES.filter((name) => name !== "setlock"), "mine"].sort());
});
