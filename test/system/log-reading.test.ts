/** Reading a log through its rotated and compressed files, and the cost of that for the supervisor. */
import { once } from "node:events";
import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, loggerOf, rotatedIn } from "./log-directory.ts";
import { statusOf } from "./proc.ts";
import { type Ended, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let helper: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  helper = await stage.account("helper");
  const keys = ["output = log", "log-size = 4096", "log-files = 1000"];
  alice.writeConf("pressed", "start = seq 20000; exec sleep 1000", ...keys, "log-compress = yes");
  alice.writeConf("plain", "start = seq 20000; exec sleep 1000", ...keys);
  const lines = "printf 'one fatal: x\\nfatal error\\n[a]\\\\^b\\nlast\\n'";
  alice.writeConf("chosen", `start = ${lines}; exec sleep 1000`, ...keys, "log-select = -* '+*fatal: *' '+[*]\\^*'");
  alice.writeConf("bounded", "start = seq 20000; exec sleep 1000", ...keys, "log-total = 40K");
  alice.writeConf("large", "start = exec sleep 1000", "output = log");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, "[manages]", `${helper.name}: ${alice.name}`]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const dmctl = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words]);
const NUMBERS = Array.from({ length: 20_000 }, (_, index) => String(index + 1));
/** Waits until all lines of a daemon have been logged; no rotation is in progress then. */
const logged = (name: string): Promise<boolean> =>
  until(`the lines of ${name}`, () => {
    try {
      return linesIn(directoryOf(name)).at(-1) === "20000";
    } catch {
      return false;
    }
  });
const textOf = (log: string): string[] =>
  log
    .trim()
    .split("\n")
    .map((line) => line.replace(/^\S+ \S+ /, ""));

test("rotated files are compressed as the owner, and a manager can read all of them", async () => {
  await logged("pressed");
  const rotated = rotatedIn(directoryOf("pressed"));
  expect(rotated.length).toBeGreaterThan(3);
  expect(readFileSync(`${directoryOf("pressed")}/${rotated[0]}`).readUInt16BE()).toBe(0x1f8b);
  const { code, stdout } = await dmctl(helper, "pressed", "log", "--all");
  expect(code).toBe(0);
  expect(textOf(stdout)).toEqual(NUMBERS);
  expect(textOf((await dmctl(helper, "pressed", "log", "--since", "1h", "--grep", "^1999.$")).stdout)).toEqual(
    NUMBERS.filter((line) => /^1999.$/.test(line)),
  );
  expect((await dmctl(helper, "pressed", "log", "--since", "2100-01-01")).stdout).toBe("");
});

test("dmctl log --lines reads back through rotated files", async () => {
  await logged("plain");
  const { stdout } = await dmctl(alice, "plain", "log", "--lines", "15000", "--tai64n");
  const lines = stdout.trim().split("\n");
  expect(lines.map((line) => line.slice(26))).toEqual(NUMBERS.slice(-15_000));
  expect(lines[0]).toMatch(/^@[0-9a-f]{24} 5001$/);
});

test("log-select chooses the lines that are logged, and log-total bounds the rotated files", async () => {
  await until("two lines in the log", () => linesIn(directoryOf("chosen")).length === 2);
  expect(linesIn(directoryOf("chosen"))).toEqual(["one fatal: x", "[a]\\^b"]);
  await until("the lines of bounded", () => linesIn(directoryOf("bounded")).at(-1) === "20000");
  const sizes = rotatedIn(directoryOf("bounded")).map(
    (name) => readFileSync(`${directoryOf("bounded")}/${name}`).length,
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(40 * 1024);
});

test("a changed log key takes effect at a restart, and a logger exits with its daemon", async () => {
  const id = `${alice.name}/plain`;
  alice.writeConf("plain", "start = seq 20001 20500; exec sleep 1000", "output = log", "log-files = 999");
  const former = loggerOf(alice.uid, directoryOf("plain"));
  expect((await supervisor.act("restart", id)).ok).toBe(true);
  const next = await until("a new logger", () => {
    const pid = loggerOf(alice.uid, directoryOf("plain"));
    return pid !== undefined && pid !== former && pid;
  });
  expect(readFileSync(`/proc/${next}/cmdline`, "latin1").split("\0")).toContain("n999");
  await until("the lines of the new run", () => linesIn(directoryOf("plain")).at(-1) === "20500");
  expect(linesIn(directoryOf("plain")).length).toBe(20_500);
  await supervisor.act("stop", id);
  await until("exit of the logger", () => loggerOf(alice.uid, directoryOf("plain")) === undefined);
  expect((await dmctl(alice, "plain", "log", "-n", "1")).stdout).toMatch(/ 20500\n$/);
});

test("two clients that request 50 MB of log and do not read cost the supervisor less than 8 MB", async () => {
  await supervisor.reaches(`${alice.name}/large`, "running");
  const put = (name: string, bytes: Buffer): void => {
    writeFileSync(`${directoryOf("large")}/${name}`, bytes);
    chownSync(`${directoryOf("large")}/${name}`, alice.uid, alice.gid);
  };
  put("@400000000000000000000001.s", gzipSync(Buffer.alloc(50 << 20, "a line\n")));
  put("@400000000000000000000002.s", Buffer.alloc(50 << 20, "another line\n"));
  const memory = (): number => Number.parseInt(statusOf(supervisor.pid).get("VmRSS") ?? "0", 10);
  const address = encodeURIComponent(`${alice.name}/large`);
  const warm = async (): Promise<unknown> => supervisor.ask("GET", `/v1/daemons/${address}/log?lines=100000`);
  for (let each = 0; each < 20; each += 1) await warm();
  const before = memory();
  const readers = ["since=0", "since=1000&follow=1"].map((query) => {
    const reader = connect(supervisor.socket);
    reader.pause();
    reader.write(`GET /v1/daemons/${address}/log?${query} HTTP/1.0\r\n\r\n`);
    return reader;
  });
  try {
    let most = 0;
    for (let sample = 0; sample < 40; sample += 1) {
      await supervisor.status(`${alice.name}/large`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      most = Math.max(most, memory());
    }
    console.log(`two readers that do not read: ${most - before} kB more`);
    expect(most - before).toBeLessThan(8 * 1024);
  } finally {
    for (const reader of readers) {
      const closed = once(reader, "close");
      reader.destroy();
      await closed;
    }
  }
});
