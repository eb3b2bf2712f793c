/** A log that cannot be shown to its end is not taken for the whole: dmctl says so, and its exit code does. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { Follower } from "./follower.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let helper: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  helper = await stage.account("helper");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, "[manages]", `${helper.name}: ${alice.name}`]);
  alice.writeConf("job", "start = echo begun; exec sleep 1000", "output = log");
  await supervisor.start();
});
afterAll(() => stage.remove());

const MOST_KEPT = 1 << 20;
const logOf = (): string => join(alice.home, ".daemon-manager/logs/job");

/** dmctl whose output is read only when it is asked for. */
const reader = (...words: string[]) => readerOf(alice, ...words);
const readerOf = (account: Account, ...words: string[]) => {
  const [file = "", ...args] = [...account.become, toolbox.node, toolbox.dmctl, ...words];
  const env = { ...account.environment, DMCTL_SOCKET: supervisor.socket };
  const child = spawn(file, args, { env, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = once(child, "close");
  return {
    first: () => once(child.stdout, "readable"),
    written: () => text,
    /** Reads on to the end; gives its exit code, what it complained of, and how much it wrote. */
    end: async () => {
      let length = 0;
      child.stdout.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length < MOST_KEPT) text += chunk;
      });
      const [code] = (await ended) as [number | null];
      return { code, errors, length };
    },
  };
};

beforeEach(async () => {
  await supervisor.reaches(`${alice.name}/job`, "running");
  await until("its first line", async () => (await alice.run(["test", "-s", `${logOf()}/current`])).code === 0);
});

test("a supervisor that dies while a log is read: exit code 4, and it is said", async () => {
  const much = 64 << 20;
  writeFileSync(join(logOf(), "current"), Buffer.alloc(much, "a line of some length or other\n"));
  const reading = reader("log", "job", "--raw");
  await reading.first();
  await supervisor.end("SIGKILL");
  const { code, errors, length } = await reading.end();
  await supervisor.start();
  expect([code, errors]).toEqual([4, expect.stringContaining('the log of "job" broke off')]);
  expect(length).toBeLessThan(much);
});

test("a log that is followed by one who may no longer: it ends there, and goes on for its owner", async () => {
  writeFileSync(join(logOf(), "current"), "written before that\n", { flag: "a" });
  const theirs = readerOf(helper, "tail", `${alice.name}/job`);
  const own = new Follower([...alice.become, toolbox.node, toolbox.dmctl, "tail", "job"], {
    ...alice.environment,
    DMCTL_SOCKET: supervisor.socket,
  });
  await Promise.all([theirs.first(), own.says("written before that")]);
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, "[manages]", `${helper.name}: root`]);
  await supervisor.rescan();
  writeFileSync(join(logOf(), "current"), "written after that\n", { flag: "a" });
  const { code, errors } = await theirs.end();
  expect([code, errors]).toEqual([4, expect.stringMatching(/broke off: .*may no longer read it/)]);
  expect(theirs.written()).not.toContain("written after that");
  await own.says("written after that");
  expect(await own.interrupt()).toBe(0);
});

test("a log that is followed and whose files are gone: exit code 4, and it is said", async () => {
  const reading = reader("tail", "job");
  await reading.first();
  await succeed("rm", "-rf", logOf());
  const { code, errors } = await reading.end();
  expect([code, errors]).toEqual([4, expect.stringMatching(/broke off: .*files are gone/)]);
});
