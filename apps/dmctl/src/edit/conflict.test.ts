import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { ConfFile } from "@dmhost/contract";
import { expect, test } from "vitest";
import { run } from "../session.fake.ts";
import { apiError, type FakeAnswer } from "../supervisor.fake.ts";
import { accept, dir, keptIn, OLD, PATH, scene } from "./scene.fake.ts";

/** A supervisor whose file becomes another while it is being edited, once. */
const contested = () => {
  let changed = false;
  const now: ConfFile = { path: PATH, text: "start=theirs\n", fingerprint: "of-theirs" };
  const get: FakeAnswer = () => (changed ? now : OLD);
  const put: FakeAnswer = ({ body }) => {
    changed = true;
    return JSON.parse(body).fingerprint === now.fingerprint
      ? accept({ line: "", body }, {} as never)
      : apiError("conflict", `${PATH} was changed meanwhile`);
  };
  return { get, put };
};

test("without a terminal, a file that was changed meanwhile is not written, and the draft is kept", async () => {
  const { get, put } = contested();
  const { socket, env, sent } = await scene(put, 'echo "start=mine" > "$1"', get);
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("was changed meanwhile")]);
  expect([readFileSync(keptIn(errors), "utf8"), sent()]).toEqual(["start=mine\n", ["start=mine\n"]]);
});

test("on a terminal, a file that was changed meanwhile is edited with the author's text below as comments", async () => {
  const { get, put } = contested();
  const editor = `cat "$1" >> "${dir}/seen"; if grep -q theirs "$1"; then echo "start=both" > "$1"; else echo "start=mine" > "$1"; fi`;
  const { socket, env, drafts, sent } = await scene(put, editor, get);
  const input = new PassThrough();
  input.end("\n");
  const { code } = await run(socket, "web edit", { env, input, interactive: true });
  expect([code, sent()]).toEqual([0, ["start=mine\n", "start=both\n"]]);
  expect(readFileSync(join(dir, "seen"), "utf8")).toMatch(/^start=old\nstart=theirs\n\n# Below .*\n# start=mine\n$/);
  expect(readdirSync(drafts)).toEqual([]);
});

test("a changed file that the author then leaves as it is is not written, and the author's text is kept", async () => {
  const { get, put } = contested();
  const { socket, env, sent } = await scene(put, 'grep -q theirs "$1" || echo "start=mine" > "$1"', get);
  const input = new PassThrough();
  input.end("y\n");
  const { code, errors } = await run(socket, "web edit", { env, input, interactive: true });
  expect([code, errors, sent()]).toEqual([1, expect.stringContaining("is unchanged"), ["start=mine\n"]]);
  expect(readFileSync(keptIn(errors), "utf8")).toBe("start=mine\n");
});
