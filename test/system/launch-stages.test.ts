/** Launch stages in isolation, for conditions that a test of the whole supervisor cannot produce. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ENTER_JAIL, LAUNCH_FAILED, READ_VARIABLES } from "../../apps/supervisor/src/launch/stages.ts";
import { run, succeed } from "./program.ts";

let directory: string;
beforeEach(async () => {
  // A jail needs parents that only their owner may write to.
  directory = mkdtempSync("/var/lib/dmt-stages-");
  chmodSync(directory, 0o755);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs a stage with its report (descriptor 3) on standard output. */
const stage = (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  run(["/bin/sh", "-c", 'exec "$@" 3>&1 2>&1', "sh", ...words], { env: { PATH: "/usr/bin:/bin", ...env } });

test("an env-file on a file system that does not answer fails the launch after ten seconds", async () => {
  // Each read takes 40 s, as from a network file system whose server is gone.
  writeFileSync(
    join(directory, "Stuck.pm"),
    "package Stuck; BEGIN { *CORE::GLOBAL::sysread = sub (*\\$$;$) { sleep 40; 0 } } 1;\n",
  );
  writeFileSync(join(directory, "env"), "A=b\n");
  const env = { PERL5OPT: `-I${directory} -MStuck`, DMHOST_VARS: "" };
  const words = ["/usr/bin/perl", "-e", READ_VARIABLES, "", join(directory, "env"), "", "/bin/echo", "went on"];
  const { code, stdout } = await stage(words, env);
  expect([code, stdout.split("\n")]).toEqual([
    LAUNCH_FAILED,
    [expect.stringMatching(/: took longer than 10s$/), `reading env-file ${directory}/env`, ""],
  ]);
});

const jail = (): string => join(directory, "jail");
/** Makes the shell's cd replace the directory that it has entered by another. */
const SWAP = 'cd() { command cd "$@" && mv "$jail" "$jail.was" && mkdir "$jail"; }';
const enter = (before: string) =>
  stage(["/bin/sh", "-c", `jail=${jail()}\n${before}\n${ENTER_JAIL}`, "sh", jail(), "0", "/bin/pwd", "-P"]);

test("a launch fails if its jail is replaced by another directory while the stage enters it", async () => {
  mkdirSync(jail());
  expect(await enter("")).toMatchObject({ code: 0, stdout: `${jail()}\n` });
  expect(await enter(SWAP)).toMatchObject({
    code: LAUNCH_FAILED,
    stdout: `another directory has replaced it\nentering the jail ${jail()}\n`,
  });
  await succeed("rmdir", `${jail()}.was`);
});
