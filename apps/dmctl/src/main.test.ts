import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { daemon, fakeSupervisor } from "./supervisor.fake.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const LINE = "@4000000037c219bf2ef02e94 x\n";
const daemons = Array.from({ length: 5000 }, (_, index) => daemon(`alice/site${index}`));

let fake: Awaited<ReturnType<typeof fakeSupervisor>>;
beforeEach(async () => {
  fake = await fakeSupervisor({
    "GET /v1/daemons": () => ({ daemons }),
    "GET /v1/daemons/web/log": (_, respond) => void respond.end(LINE),
    "GET /v1/daemons/web/log?lines=10&follow=1": (_, respond) => void respond.write(LINE),
  });
});
afterEach(() => fake.close());

const env = (more: Record<string, string> = {}) => ({
  PATH: process.env["PATH"] ?? "",
  DMCTL_SOCKET: fake.socket,
  ...more,
});

test("a big table reaches a pipe whole", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN], { env: env(), maxBuffer: 10_000_000 });
  expect(stdout.split("\n")).toHaveLength(daemons.length + 2);
});

test("a reader that goes away early is no error", async () => {
  const line = `"$0" "$1" | head -n 1; "$0" "$1" | true`;
  const result = await promisify(execFile)("/bin/sh", ["-c", line, process.execPath, MAIN], { env: env() });
  expect(result.stdout).toMatch(/^daemon-id[^\n]*\n$/);
  expect(result.stderr).toBe("");
});

test("the exit code is the command's", async () => {
  const ended = (line: string[]) =>
    once(spawn(process.execPath, [MAIN, ...line], { env: env(), stdio: "ignore" }), "close");
  expect((await ended(["frobnicate"]))[0]).toBe(2);
  expect((await ended(["start", "missing"]))[0]).toBe(3);
});

test("labels are shown in the zone of the reader, summer time included", async () => {
  const shown = async (TZ: string): Promise<string> =>
    (await promisify(execFile)(process.execPath, [MAIN, "log", "web"], { env: env({ TZ }) })).stdout;
  expect(await shown("America/New_York")).toBe("1999-08-24 00:03:43.787492500 x\n");
  expect(await shown("Asia/Kathmandu")).toBe("1999-08-24 09:48:43.787492500 x\n");
});

test("Ctrl-C ends a followed log without a word", async () => {
  const child = spawn(process.execPath, [MAIN, "tail", "web", "--raw"], { env: env() });
  const [first] = await once(child.stdout, "data");
  expect(String(first)).toBe(LINE);
  let errors = "";
  child.stderr.on("data", (chunk) => (errors += chunk));
  child.kill("SIGINT");
  expect(await once(child, "close")).toEqual([0, null]);
  expect(errors).toBe("");
});
