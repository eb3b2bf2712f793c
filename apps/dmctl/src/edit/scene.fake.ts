/** An author at work, for tests: importing this file makes a directory for each test, and removes it. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfFile } from "@dmhost/contract";
import { afterEach, beforeEach } from "vitest";
import { apiError, type FakeAnswer, fakeSupervisor } from "../supervisor.fake.ts";

export const PATH = "/home/alice/.daemon-manager/daemons/web.conf";
export const GET = "GET /v1/daemons/web/file";
export const PUT = "PUT /v1/daemons/web/file";
export const OLD: ConfFile = { path: PATH, text: "start=old\n", fingerprint: "of-old" };
export const NONE: ConfFile = { path: PATH, text: "# template\n", fingerprint: "" };

export let dir = "";
let tmpBefore: string | undefined;
let closing: (() => Promise<void>)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "dmctl-test-"));
  tmpBefore = process.env["TMPDIR"];
});
afterEach(async () => {
  if (tmpBefore === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = tmpBefore;
  for (const close of closing) await close();
  closing = [];
  rmSync(dir, { recursive: true });
});

/** A supervisor with one file, and a program of sh as the editor; drafts go under `dir`/tmp. */
export const scene = async (put: FakeAnswer, editor: string, get: FakeAnswer = () => OLD) => {
  const fake = await fakeSupervisor({ [GET]: get, [PUT]: put });
  closing.push(fake.close);
  const program = join(dir, "editor");
  writeFileSync(program, `#!/bin/sh\n${editor}\n`);
  chmodSync(program, 0o755);
  const drafts = mkdtempSync(join(dir, "tmp-"));
  process.env["TMPDIR"] = drafts;
  const sent = (): unknown[] =>
    fake.requests.filter(({ line }) => line === PUT).map(({ body }) => JSON.parse(body).text);
  return { ...fake, env: { EDITOR: program }, drafts, sent };
};
export const accept: FakeAnswer = () => ({ path: PATH, warnings: [`${PATH}:1: unknown key`], created: false });
export const refuseOld: FakeAnswer = ({ body }) =>
  body.includes("good")
    ? accept({ line: "", body }, {} as never)
    : apiError("invalid-file", "wrong", [`${PATH}:1: bad`]);

/** Path of the kept text that a message names, "" without one. */
export const keptIn = (errors: string): string => /kept in (.*)\n/.exec(errors)?.[1] ?? "";
