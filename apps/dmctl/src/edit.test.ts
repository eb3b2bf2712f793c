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
import type { ConfFile } from "@dmhost/contract";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "./session.fake.ts";
import { type Answer, apiError, fakeSupervisor } from "./supervisor.fake.ts";

const PATH = "/home/alice/.daemon-manager/daemons/web.conf";
const GET = "GET /v1/daemons/web/file";
const PUT = "PUT /v1/daemons/web/file";
const OLD: ConfFile = { path: PATH, text: "start=old\n", fingerprint: "of-old" };
const NONE: ConfFile = { path: PATH, text: "# template\n", fingerprint: "" };

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
const scene = async (put: Answer, editor: string, get: Answer = () => OLD) => {
  const fake = await fakeSupervisor({ [GET]: get, [PUT]: put });
  closing.push(fake.close);
  const program = join(dir, "editor");
  writeFileSync(program, `#!/bin/sh\n${editor}\n`);
  chmodSync(program, 0o755);
  const drafts = mkdtempSync(join(dir, "tmp-"));
  process.env["TMPDIR"] = drafts;
  const sent = (): unknown[] => fake.asked.filter(({ line }) => line === PUT).map(({ body }) => JSON.parse(body).text);
  return { ...fake, env: { EDITOR: program }, drafts, sent };
};
const accept: Answer = () => ({ path: PATH, warnings: [`${PATH}:1: unknown key`], created: false });
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

test("what is sent says which text it is to take the place of", async () => {
  const { socket, env, asked } = await scene(accept, 'echo "start=new" > "$1"');
  await run(socket, "web edit", { env });
  expect(JSON.parse(asked.at(-1)?.body ?? "")).toEqual({ ...OLD, text: "start=new\n" });
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

const keptIn = (errors: string): string => /kept in (.*)\n/.exec(errors)?.[1] ?? "";

test.each([
  ["as it was", "true"],
  ["emptied", ': > "$1"'],
  ["nothing but white space", 'echo > "$1"'],
])("the text of a new file, %s: nothing is sent, and no draft is left", async (_, editor) => {
  const { socket, env, drafts, sent } = await scene(accept, editor, () => NONE);
  expect(await run(socket, "web edit", { env })).toMatchObject({ code: 0, errors: `${PATH} is not made\n` });
  expect([sent(), readdirSync(drafts)]).toEqual([[], []]);
});

test("a new file is said to be made", async () => {
  const made: Answer = () => ({ path: PATH, warnings: [], created: true });
  const { socket, env } = await scene(made, 'echo "start=new" >> "$1"', () => NONE);
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([0, `${PATH} is made; what became of its daemon: dmctl status web\n`]);
});

/** A supervisor whose file becomes another while it is being edited, once. */
const contested = () => {
  let changed = false;
  const now: ConfFile = { path: PATH, text: "start=theirs\n", fingerprint: "of-theirs" };
  const get: Answer = () => (changed ? now : OLD);
  const put: Answer = ({ body }) => {
    changed = true;
    return JSON.parse(body).fingerprint === now.fingerprint
      ? accept({ line: "", body }, {} as never)
      : apiError("conflict", `${PATH} was changed meanwhile`);
  };
  return { get, put };
};

test("a file that was changed meanwhile, not on a terminal: nothing is written, the draft is kept", async () => {
  const { get, put } = contested();
  const { socket, env, sent } = await scene(put, 'echo "start=mine" > "$1"', get);
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("was changed meanwhile")]);
  expect([readFileSync(keptIn(errors), "utf8"), sent()]).toEqual(["start=mine\n", ["start=mine\n"]]);
});

test("a file that was changed meanwhile, on a terminal: its new text is edited, with the author's below", async () => {
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

test("a new text that is left as it is is not written, and the author's is kept", async () => {
  const { get, put } = contested();
  const { socket, env, sent } = await scene(put, 'grep -q theirs "$1" || echo "start=mine" > "$1"', get);
  const input = new PassThrough();
  input.end("y\n");
  const { code, errors } = await run(socket, "web edit", { env, input, interactive: true });
  expect([code, errors, sent()]).toEqual([1, expect.stringContaining("is unchanged"), ["start=mine\n"]]);
  expect(readFileSync(keptIn(errors), "utf8")).toBe("start=mine\n");
});

test("a supervisor that is gone when the text comes back: exit code 4, the draft is kept", async () => {
  const vanish: Answer = (_, respond) => void respond.socket?.destroy();
  const { socket, env } = await scene(vanish, 'echo "start=new" > "$1"');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, readFileSync(keptIn(errors), "utf8")]).toEqual([4, "start=new\n"]);
});

test("an editor that fails without having written leaves nothing behind", async () => {
  const { socket, env, drafts } = await scene(accept, "exit 3");
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors, readdirSync(drafts)]).toEqual([1, expect.not.stringContaining("kept"), []]);
});

test("an editor that is killed is said to have been, and what it wrote is kept", async () => {
  const { socket, env } = await scene(accept, 'echo half > "$1"; kill -9 $$');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("failed: it was killed")]);
  expect(readFileSync(keptIn(errors), "utf8")).toBe("half\n");
});

test("a draft that the editor takes away is told, and nothing is sent", async () => {
  const { socket, env, drafts, sent } = await scene(accept, 'rm "$1"');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("is gone, so nothing is written")]);
  expect([sent(), readdirSync(drafts), errors]).toEqual([[], [], expect.not.stringContaining("kept")]);
});

test.each([
  ["takes away", 'rm "$1"', "web.conf is gone, so nothing is written"],
  [
    "makes a directory",
    'rm "$1"; mkdir "$1"',
    "web.conf is no file that can be read any more (EISDIR), so nothing is written",
  ],
  ["makes a directory, and fails", 'rm "$1"; mkdir "$1"; exit 3', "exited with code 3"],
])(
  "a draft that the editor %s: that is said, and of no text that it is kept, also after a first round",
  async (_, spoil, why) => {
    const alone = await scene(refuseOld, spoil);
    const { code, errors } = await run(alone.socket, "web edit", { env: alone.env });
    expect([code, errors, alone.sent()]).toEqual([1, expect.stringContaining(why), []]);
    expect([errors, readdirSync(alone.drafts)]).toEqual([expect.not.stringContaining("kept"), []]);

    const twice = `if [ -e "${dir}/once" ]; then ${spoil}; else : > "${dir}/once"; echo start=bad > "$1"; fi`;
    const { socket, env, drafts } = await scene(refuseOld, twice);
    const input = new PassThrough();
    input.end("y\n");
    const second = await run(socket, "web edit", { env, input, interactive: true });
    expect([second.code, second.errors]).toEqual([1, expect.stringContaining(why)]);
    expect([second.errors, readdirSync(drafts)]).toEqual([expect.not.stringContaining("kept"), []]);
  },
);

test("an editor that replaces the draft by another file, with lines of CR LF and a mark of order", async () => {
  const { socket, env, sent } = await scene(accept, 'printf "\\357\\273\\277start=new\\r\\n" > "$1~"; mv "$1~" "$1"');
  expect((await run(socket, "web edit", { env })).code).toBe(0);
  expect(sent()).toEqual(["\ufeffstart=new\r\n"]);
});

test.each([
  ["longer than a file may be", 'head -c 65537 /dev/zero | tr "\\0" x > "$1"', "has 65537 bytes"],
  ["not UTF-8", 'printf "start=x\\n\\303\\244\\n\\344\\n" > "$1"', "line 3 of the text is not UTF-8"],
])("a text that is %s is not sent, but may be edited again", async (_, spoil, why) => {
  const editor = `if [ -e "${dir}/once" ]; then echo start=good > "$1"; else : > "${dir}/once"; ${spoil}; fi`;
  const { socket, env, sent } = await scene(accept, editor);
  const input = new PassThrough();
  input.end("y\n");
  const { code, errors } = await run(socket, "web edit", { env, input, interactive: true });
  expect([code, errors, sent()]).toEqual([0, expect.stringContaining(why), ["start=good\n"]]);
});
