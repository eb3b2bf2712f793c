import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { collector, run } from "../session.fake.ts";
import { apiError, type FakeAnswer, fakeSupervisor } from "../supervisor.fake.ts";

const LINE = "@4000000037c219bf2ef02e94 \u001b[31mred\n";
const SHOWN = "1999-08-24 04:03:43.787492500 ";

let dir = "";
let closing: (() => Promise<void>)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "dmctl-test-"));
});
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
  rmSync(dir, { recursive: true });
});

const supervisor = async (answers: Record<string, FakeAnswer>) => {
  const fake = await fakeSupervisor(answers);
  closing.push(fake.close);
  return fake;
};
const logOf =
  (text: string | Buffer): FakeAnswer =>
  (_, respond) =>
    void respond.end(text);

test("in a pipe, a log has its stamps converted and every other byte unchanged", async () => {
  const { socket } = await supervisor({ "GET /v1/daemons/web/log": logOf(LINE) });
  expect(await run(socket, "web log --utc")).toEqual({ code: 0, output: `${SHOWN}\u001b[31mred\n`, errors: "" });
  expect((await run(socket, "log --raw web")).output).toBe(LINE);
});

test("on a terminal, a log goes through $PAGER, escaped unless --raw is given", async () => {
  const { socket } = await supervisor({ "GET /v1/daemons/web/log": logOf(LINE) });
  const paged = async (line: string): Promise<string> => {
    const env = { PAGER: `cat > "${dir}/paged"` };
    expect(await run(socket, line, { terminal: true, env })).toEqual({ code: 0, output: "", errors: "" });
    return readFileSync(`${dir}/paged`, "utf8");
  };
  expect(await paged("log web --utc")).toBe(`${SHOWN}\\x1b[31mred\n`);
  expect(await paged("log web --raw")).toBe(LINE);
});

test("a pager that exits early ends the log without an error", async () => {
  const { socket } = await supervisor({ "GET /v1/daemons/web/log": logOf(Buffer.alloc(5_000_000, LINE)) });
  const env = { PAGER: `head -n 1 > "${dir}/paged"` };
  expect(await run(socket, "log web --utc", { terminal: true, env })).toEqual({ code: 0, output: "", errors: "" });
  expect(readFileSync(`${dir}/paged`, "utf8")).toBe(`${SHOWN}\\x1b[31mred\n`);
});

test("--lines, --follow and tail become the parameters of the request", async () => {
  const { socket, requests } = await supervisor({
    "GET /v1/daemons/web/log?lines=3": logOf("x\n"),
    "GET /v1/daemons/web/log?lines=10&follow=1": logOf("y\n"),
    "GET /v1/daemons/web/log?follow=1": logOf("z\n"),
  });
  await run(socket, "log web -n 3");
  await run(socket, "web tail");
  await run(socket, "web log --follow");
  expect(requests.map(({ line }) => line.split("?")[1])).toEqual(["lines=3", "lines=10&follow=1", "follow=1"]);
});

test("--lines takes a count with a unit, and refuses any other text with the bounds", async () => {
  const { socket, requests } = await supervisor({ "GET /v1/daemons/web/log?lines=1024": logOf("x\n") });
  expect(await run(socket, "log web -n 1K")).toMatchObject({ code: 0, output: "x\n" });
  for (const text of ["1.5", "1G"]) {
    const errors = expect.stringContaining(`--lines: expected a whole number from 0 to 10000000, found "${text}"`);
    expect(await run(socket, `log web -n ${text}`)).toMatchObject({ code: 2, errors });
  }
  expect(requests).toHaveLength(1);
});

test("a followed log that ends is exit code 4, because the supervisor went away", async () => {
  const { socket } = await supervisor({ "GET /v1/daemons/web/log?lines=10&follow=1": logOf(LINE) });
  const result = await run(socket, "tail web --utc", { terminal: true });
  expect(result.code).toBe(4);
  expect(result.output).toBe(`${SHOWN}\\x1b[31mred\n`);
  expect(result.errors).toContain('the log of "web" broke off');
});

test.each([
  ["in a pipe", false],
  ["through a pager", true],
])("dmctl log exits with 4 when the log breaks off %s", async (_, terminal) => {
  const { socket } = await supervisor({
    "GET /v1/daemons/web/log": (_request, respond) => {
      respond.write(LINE);
      setTimeout(() => respond.socket?.end(), 50);
    },
  });
  const env = { PAGER: `cat > "${dir}/paged"` };
  const { code, output, errors } = await run(socket, "log web --utc", { terminal, env });
  expect([code, errors]).toEqual([4, expect.stringContaining('the log of "web" broke off: the supervisor closed it')]);
  expect(terminal ? readFileSync(`${dir}/paged`, "utf8") : output).toContain(SHOWN);
});

test("an error answer is reported and not shown as the log", async () => {
  const { socket } = await supervisor({
    "GET /v1/daemons/web/log": () => apiError("not-applicable", '"alice/web" has no log'),
  });
  expect(await run(socket, "web log")).toEqual({ code: 1, output: "", errors: 'dmctl: "alice/web" has no log\n' });
});

test("a reader that stops reading stops the sending", async () => {
  let sent = 0;
  const { socket } = await supervisor({
    "GET /v1/daemons/web/log": (_, respond) => {
      const more = (): void => {
        do sent += 65_536;
        while (respond.write(Buffer.alloc(65_536, "x")));
        respond.once("drain", more);
      };
      more();
    },
  });
  let leave = (_error: Error): void => {};
  const output = new Writable({
    write(_chunk, _encoding, done) {
      leave = done;
    },
  });
  const errors = collector();
  const stuck = run(socket, "log web", { output, errors: errors.stream });
  await expect.poll(() => sent).toBeGreaterThan(0);
  const growth = async (): Promise<number> => {
    const before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return sent - before;
  };
  await expect.poll(growth, { timeout: 20_000 }).toBe(0);
  expect(sent).toBeLessThan(4_000_000);
  leave(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
  expect((await stuck).code).toBe(0);
});
