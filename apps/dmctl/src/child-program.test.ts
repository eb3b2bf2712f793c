import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { runEditor, startPager } from "./child-program.ts";

let dir = "";
let bin = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "dmctl-test-"));
  bin = join(dir, "bin");
  mkdirSync(bin);
  vi.stubEnv("PATH", bin);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

/** A program of this name, which writes its name, its arguments and, where it is a pager, its input. */
const provide = (name: string, isPager: boolean): void => {
  const path = join(bin, name);
  const said = `echo "${name} $*" >"${dir}/said"`;
  writeFileSync(path, `#!/bin/sh\n${said}\n${isPager ? `/bin/cat >>"${dir}/said"\n` : ""}`);
  chmodSync(path, 0o755);
};
const said = (): string => readFileSync(join(dir, "said"), "utf8");

test.each([
  [["less", "more", "cat"], "less"],
  [["more", "cat"], "more"],
  [["cat"], "cat"],
])("when %j are installed and PAGER is not set, the pager is %s", async (names, expected) => {
  for (const name of names) provide(name, true);
  for (const env of [{}, { PAGER: "" }]) {
    const { input, ended } = await startPager(env);
    input.end("a line\n");
    await ended;
    expect(said()).toBe(`${expected} \na line\n`);
  }
});

test("without any pager, showing a log fails and names the pagers that were tried", async () => {
  await expect(startPager({})).rejects.toThrow("there is no less, more or cat in PATH");
});

test.each([
  [{ VISUAL: "ed1 -x", EDITOR: "ed2" }, "ed1 -x FILE\n"],
  [{ VISUAL: "", EDITOR: "ed2" }, "ed2 FILE\n"],
  [{ EDITOR: "" }, "vi FILE\n"],
  [{}, "vi FILE\n"],
])("with %j, the editor runs as `%s`", async (env, expected) => {
  for (const name of ["ed1", "ed2", "vi"]) provide(name, false);
  const file = join(dir, "a draft.conf");
  await runEditor(env, file, dir);
  expect(said().split("\n")[0]).toBe(expected.trim().replace("FILE", file));
});
