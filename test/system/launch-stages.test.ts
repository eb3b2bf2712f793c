/** The reader of variables in isolation, for a condition that a test of the whole supervisor cannot produce. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { variablesReader } from "../../apps/supervisor/src/launch/env-reader.ts";
import { run } from "./program.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmt-reader-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("an env-file on a file system that does not answer fails the launch after ten seconds", async () => {
  // Each read takes 40 s, as from a network file system whose server is gone.
  writeFileSync(
    join(directory, "Stuck.pm"),
    "package Stuck; BEGIN { *CORE::GLOBAL::sysread = sub (*\\$$;$) { sleep 40; 0 } } 1;\n",
  );
  const envFile = join(directory, "env");
  writeFileSync(envFile, "A=b\n");
  const { words, environment } = variablesReader({ envDir: undefined, envFile }, new Map(), []);
  const env = { ...Object.fromEntries(environment), PERL5OPT: `-I${directory} -MStuck` };
  const { code, stdout } = await run(["/bin/sh", "-c", 'exec "$@" 3>&1 2>&1', "sh", ...words], { env });
  expect([code, stdout.split("\n")]).toEqual([111, ["took longer than 10s", `reading env-file ${envFile}`, ""]]);
});
