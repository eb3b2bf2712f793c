/** Stages of the launch by themselves, where what they are held against cannot be brought about from outside. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ENTER_JAIL, LAUNCH_FAILED, READ_VARIABLES } from "../../apps/supervisor/src/launch/stages.ts";
import { run, succeed } from "./program.ts";

let directory: string;
beforeEach(async () => {
  // As a jail may lie: nothing above it that others may write to.
  directory = mkdtempSync("/var/lib/dmt-stages-");
  chmodSync(directory, 0o755);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs a stage with its report on standard output. */
const stage = (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  run(["/bin/sh", "-c", 'exec "$@" 3>&1 2>&1', "sh", ...words], { env: { PATH: "/usr/bin:/bin", ...env } });

test("variables on a file system that does not answer cost their daemon the launch after ten seconds", async () => {
  // Reads take longer than anybody waits, as from a server that has gone.
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
    [expect.stringMatching(/: took longer than 10 s$/), `reading env-file ${directory}/env`, ""],
  ]);
});

const jail = (): string => join(directory, "jail");
/** What a shell does before the stage: another directory takes the place of the one that it has entered. */
const SWAP = 'cd() { command cd "$@" && mv "$jail" "$jail.was" && mkdir "$jail"; }';
const enter = (before: string) =>
  stage(["/bin/sh", "-c", `jail=${jail()}\n${before}\n${ENTER_JAIL}`, "sh", jail(), "0", "/bin/pwd", "-P"]);

test("a jail that is another by the time that it has been entered is refused", async () => {
  mkdirSync(jail());
  expect(await enter("")).toMatchObject({ code: 0, stdout: `${jail()}\n` });
  expect(await enter(SWAP)).toMatchObject({
    code: LAUNCH_FAILED,
    stdout: `another directory has replaced it\nentering the jail ${jail()}\n`,
  });
  await succeed("rmdir", `${jail()}.was`);
});
