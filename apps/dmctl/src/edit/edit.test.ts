import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { expect, test } from "vitest";
import { run } from "../session.fake.ts";
import type { FakeAnswer } from "../supervisor.fake.ts";
import { accept, dir, keptIn, NONE, OLD, PATH, refuseOld, scene } from "./scene.fake.ts";

test("a changed text is sent, and the draft is removed", async () => {
  const { socket, env, drafts, sent } = await scene(accept, 'echo "start=new" > "$1"');
  const result = await run(socket, "web edit", { env });
  expect(result).toMatchObject({ code: 0, errors: expect.stringContaining(`warning: ${PATH}:1: unknown key`) });
  expect(sent()).toEqual(["start=new\n"]);
  expect(readdirSync(drafts)).toEqual([]);
});

test("the request carries the fingerprint of the text that it replaces", async () => {
  const { socket, env, requests } = await scene(accept, 'echo "start=new" > "$1"');
  await run(socket, "web edit", { env });
  expect(JSON.parse(requests.at(-1)?.body ?? "")).toEqual({ text: "start=new\n", fingerprint: OLD.fingerprint });
});

test("an unchanged text is not sent", async () => {
  const { socket, env, drafts, sent } = await scene(accept, "true");
  expect(await run(socket, "edit web", { env })).toMatchObject({ code: 0, errors: `${PATH} is unchanged\n` });
  expect(sent()).toEqual([]);
  expect(readdirSync(drafts)).toEqual([]);
});

test("the draft is private, and the editor runs in its directory", async () => {
  const { socket, env } = await scene(
    accept,
    `pwd > "${dir}/cwd"; stat -c %a . "$1" > "${dir}/modes"; echo "$1" > "${dir}/draft"`,
  );
  await run(socket, "web edit", { env });
  const read = (name: string): string => readFileSync(join(dir, name), "utf8").trim();
  expect(read("modes")).toBe("700\n600");
  expect(read("cwd")).toBe(dirname(read("draft")));
});

test("$VISUAL precedes $EDITOR and may have arguments", async () => {
  const { socket, env, sent } = await scene(accept, 'echo "$1" > "$2"');
  await run(socket, "web edit", { env: { EDITOR: "false", VISUAL: `${env.EDITOR} start=x` } });
  expect(sent()).toEqual(["start=x\n"]);
});

test("without a terminal dmctl edit exits with 1 on an invalid text, shows its errors and keeps the draft", async () => {
  const { socket, env, sent } = await scene(refuseOld, 'echo "start=bad" > "$1"');
  const result = await run(socket, "web edit", { env });
  expect(result.code).toBe(1);
  expect(result.errors).toContain(`  ${PATH}:1: bad\n`);
  const draft = /kept in (.*)\n/.exec(result.errors)?.[1] ?? "";
  expect(readFileSync(draft, "utf8")).toBe("start=bad\n");
  expect(statSync(draft).mode & 0o777).toBe(0o600);
  expect(sent()).toHaveLength(1);
});

test("on a terminal, an invalid text can be edited again and is then written", async () => {
  const again = `if [ -e "${dir}/once" ]; then echo start=good > "$1"; else : > "${dir}/once"; echo start=bad > "$1"; fi`;
  const { socket, env, drafts, sent } = await scene(refuseOld, again);
  const input = new PassThrough();
  const answers = ["what?\n", "y\n"];
  let text = "";
  const errors = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      if (String(chunk).includes("[Y/n]")) input.write(answers.shift());
      done();
    },
  });
  const { code } = await run(socket, "web edit", { env, input, errors, interactive: true });
  expect([code, answers]).toEqual([0, []]);
  expect(text).toContain(`${PATH}:1: bad`);
  expect(sent()).toEqual(["start=bad\n", "start=good\n"]);
  expect(readdirSync(drafts)).toEqual([]);
});

test.each([
  ["no", "n\n"],
  ["an end of input", undefined],
])("after an invalid text and the answer %s, the draft is kept", async (_, answer) => {
  const { socket, env } = await scene(refuseOld, 'echo "start=bad" > "$1"');
  const input = new PassThrough();
  input.end(answer);
  const result = await run(socket, "web edit", { env, input, interactive: true });
  expect(result.code).toBe(1);
  expect(existsSync(/kept in (.*)\n/.exec(result.errors)?.[1] ?? "")).toBe(true);
});

test("an editor that fails or does not exist sends nothing, and the draft is kept", async () => {
  const { socket, env, sent } = await scene(accept, 'echo "start=half" > "$1"; exit 3');
  const failed = await run(socket, "web edit", { env });
  expect(failed).toMatchObject({ code: 1, errors: expect.stringContaining("exited with code 3") });
  expect(readFileSync(/kept in (.*)\n/.exec(failed.errors)?.[1] ?? "", "utf8")).toBe("start=half\n");
  const missing = await run(socket, "web edit", { env: { EDITOR: "/nonexistent/editor" } });
  expect(missing).toMatchObject({ code: 1, errors: expect.stringContaining("no such program") });
  expect(sent()).toEqual([]);
});

test("a file that the caller may not read is exit code 3, and no draft is made", async () => {
  const { socket, env, drafts } = await scene(accept, "true");
  expect((await run(socket, "edit other", { env })).code).toBe(3);
  expect(readdirSync(drafts)).toEqual([]);
});

test.each([
  ["as it was", "true"],
  ["emptied", ': > "$1"'],
  ["nothing but white space", 'echo > "$1"'],
])("a new file whose text is %s is not sent, and no draft is left", async (_, editor) => {
  const { socket, env, drafts, sent } = await scene(accept, editor, () => NONE);
  expect(await run(socket, "web edit", { env })).toMatchObject({ code: 0, errors: `${PATH} is not created\n` });
  expect([sent(), readdirSync(drafts)]).toEqual([[], []]);
});

test("making a new file is reported", async () => {
  const made: FakeAnswer = () => ({ path: PATH, warnings: [], created: true });
  const { socket, env } = await scene(made, 'echo "start=new" >> "$1"', () => NONE);
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([0, `${PATH} is created; its daemon: dmctl status web\n`]);
});

test("a supervisor that is gone when the text is sent is exit code 4, and the draft is kept", async () => {
  const vanish: FakeAnswer = (_, respond) => void respond.socket?.destroy();
  const { socket, env } = await scene(vanish, 'echo "start=new" > "$1"');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, readFileSync(keptIn(errors), "utf8")]).toEqual([4, "start=new\n"]);
});

test("an editor that fails without a change leaves no draft", async () => {
  const { socket, env, drafts } = await scene(accept, "exit 3");
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors, readdirSync(drafts)]).toEqual([1, expect.not.stringContaining("kept"), []]);
});

test("an editor that is killed is reported as killed, and the draft is kept", async () => {
  const { socket, env } = await scene(accept, 'echo half > "$1"; kill -9 $$');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("failed: it was killed")]);
  expect(readFileSync(keptIn(errors), "utf8")).toBe("half\n");
});

test("a draft that the editor removes is reported, and nothing is sent", async () => {
  const { socket, env, drafts, sent } = await scene(accept, 'rm "$1"');
  const { code, errors } = await run(socket, "web edit", { env });
  expect([code, errors]).toEqual([1, expect.stringContaining("is gone, so nothing is written")]);
  expect([sent(), readdirSync(drafts), errors]).toEqual([[], [], expect.not.stringContaining("kept")]);
});

test.each([
  ["removes", 'rm "$1"', "web.conf is gone, so nothing is written"],
  ["makes a directory of", 'rm "$1"; mkdir "$1"', "web.conf cannot be read any more (EISDIR), so nothing is written"],
  ["fails and makes a directory of", 'rm "$1"; mkdir "$1"; exit 3', "exited with code 3"],
])(
  "an editor that %s the draft is reported, and no kept text is claimed, in the first and in a later round",
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

test("an editor may replace the draft by another file with CR LF lines and a byte order mark", async () => {
  const { socket, env, sent } = await scene(accept, 'printf "\\357\\273\\277start=new\\r\\n" > "$1~"; mv "$1~" "$1"');
  expect((await run(socket, "web edit", { env })).code).toBe(0);
  expect(sent()).toEqual(["\ufeffstart=new\r\n"]);
});

test.each([
  ["longer than a file may be", 'head -c 65537 /dev/zero | tr "\\0" x > "$1"', "has 65537 B"],
  ["not UTF-8", 'printf "start=x\\n\\303\\244\\n\\344\\n" > "$1"', "line 3 of the text is not UTF-8"],
])("a text that is %s is not sent, but can be edited again", async (_, spoil, why) => {
  const editor = `if [ -e "${dir}/once" ]; then echo start=good > "$1"; else : > "${dir}/once"; ${spoil}; fi`;
  const { socket, env, sent } = await scene(accept, editor);
  const input = new PassThrough();
  input.end("y\n");
  const { code, errors } = await run(socket, "web edit", { env, input, interactive: true });
  expect([code, errors, sent()]).toEqual([0, expect.stringContaining(why), ["start=good\n"]]);
});
