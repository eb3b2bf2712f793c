import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "./session.fake.ts";
import { type Answer, apiError, fakeSupervisor } from "./supervisor.fake.ts";

const PATH = "/home/alice/.daemon-manager/daemons/web.conf";
const GET = "GET /v1/daemons/web/file";
const PUT = "PUT /v1/daemons/web/file";

let dir = "";
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
const scene = async (put: Answer, editor: string) => {
  const fake = await fakeSupervisor({ [GET]: () => ({ path: PATH, text: "start=old\n" }), [PUT]: put });
  closing.push(fake.close);
  const program = join(dir, "editor");
  writeFileSync(program, `#!/bin/sh\n${editor}\n`);
  chmodSync(program, 0o755);
  const drafts = mkdtempSync(join(dir, "tmp-"));
  process.env["TMPDIR"] = drafts;
  const sent = (): unknown[] => fake.asked.filter(({ line }) => line === PUT).map(({ body }) => JSON.parse(body).text);
  return { ...fake, env: { EDITOR: program }, drafts, sent };
};
const accept: Answer = () => ({ path: PATH, warnings: [`${PATH}:1: unknown key`] });
const refuseOld: Answer = ({ body }) =>
  body.includes("good")
    ? accept({ line: "", body }, {} as never)
    : apiError("invalid-file", "wrong", [`${PATH}:1: bad`]);

test("what was changed is sent, and no draft is left", async () => {
  const { socket, env, drafts, sent } = await scene(accept, 'echo "start=new" > "$1"');
  const result = await run(socket, "web edit", { env });
  expect(result).toMatchObject({ code: 0, errors: expect.stringContaining(`warning: ${PATH}:1: unknown key`) });
  expect(sent()).toEqual(["start=new\n"]);
  expect(readdirSync(drafts)).toEqual([]);
});

test("what was not changed is not sent", async () => {
  const { socket, env, drafts, sent } = await scene(accept, "true");
  expect(await run(socket, "edit web", { env })).toMatchObject({ code: 0, errors: `${PATH} is unchanged\n` });
  expect(sent()).toEqual([]);
  expect(readdirSync(drafts)).toEqual([]);
});

test("the draft is private, and the editor runs beside it", async () => {
  const { socket, env } = await scene(
    accept,
    `pwd > "${dir}/cwd"; stat -c %a . "$1" > "${dir}/modes"; echo "$1" > "${dir}/draft"`,
  );
  await run(socket, "web edit", { env });
  const read = (name: string): string => readFileSync(join(dir, name), "utf8").trim();
  expect(read("modes")).toBe("700\n600");
  expect(read("cwd")).toBe(dirname(read("draft")));
});

test("$VISUAL goes first, and may have arguments", async () => {
  const { socket, env, sent } = await scene(accept, 'echo "$1" > "$2"');
  await run(socket, "web edit", { env: { EDITOR: "false", VISUAL: `${env.EDITOR} start=x` } });
  expect(sent()).toEqual(["start=x\n"]);
});

test("a wrong file, not on a terminal: exit code 1, the problems, and the draft kept", async () => {
  const { socket, env, sent } = await scene(refuseOld, 'echo "start=bad" > "$1"');
  const result = await run(socket, "web edit", { env });
  expect(result.code).toBe(1);
  expect(result.errors).toContain(`  ${PATH}:1: bad\n`);
  const draft = /kept in (.*)\n/.exec(result.errors)?.[1] ?? "";
  expect(readFileSync(draft, "utf8")).toBe("start=bad\n");
  expect(statSync(draft).mode & 0o777).toBe(0o600);
  expect(sent()).toHaveLength(1);
});

test("a wrong file on a terminal: asked, edited again, written", async () => {
  const again = `if [ -e "${dir}/once" ]; then echo start=good > "$1"; else : > "${dir}/once"; echo start=bad > "$1"; fi`;
  const { socket, env, drafts, sent } = await scene(refuseOld, again);
  const input = new PassThrough();
  input.write("what?\n");
  setTimeout(() => input.write("y\n"), 300);
  const result = await run(socket, "web edit", { env, input, interactive: true });
  expect(result.code).toBe(0);
  expect(result.errors).toContain(`${PATH}:1: bad`);
  expect(sent()).toEqual(["start=bad\n", "start=good\n"]);
  expect(readdirSync(drafts)).toEqual([]);
});

test.each([
  ["no", "n\n"],
  ["an end of input", undefined],
])("a wrong file and the answer %s: the draft is kept", async (_, answer) => {
  const { socket, env } = await scene(refuseOld, 'echo "start=bad" > "$1"');
  const input = new PassThrough();
  input.end(answer);
  const result = await run(socket, "web edit", { env, input, interactive: true });
  expect(result.code).toBe(1);
  expect(existsSync(/kept in (.*)\n/.exec(result.errors)?.[1] ?? "")).toBe(true);
});

test("an editor that fails, or is not there, sends nothing and keeps the draft", async () => {
  const { socket, env, sent } = await scene(accept, 'echo "start=half" > "$1"; exit 3');
  const failed = await run(socket, "web edit", { env });
  expect(failed).toMatchObject({ code: 1, errors: expect.stringContaining("exited with code 3") });
  expect(readFileSync(/kept in (.*)\n/.exec(failed.errors)?.[1] ?? "", "utf8")).toBe("start=half\n");
  const missing = await run(socket, "web edit", { env: { EDITOR: "/nonexistent/editor" } });
  expect(missing).toMatchObject({ code: 1, errors: expect.stringContaining("no such program") });
  expect(sent()).toEqual([]);
});

test("a file that may not be read is a refusal without a draft", async () => {
  const { socket, env, drafts } = await scene(accept, "true");
  expect((await run(socket, "edit other", { env })).code).toBe(3);
  expect(readdirSync(drafts)).toEqual([]);
});
