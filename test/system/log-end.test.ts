/** A log that breaks off while dmctl shows it: the message and the exit code say so. */

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

/** Starts a dmctl whose output is read only on demand. */
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
    /** Reads to the end; returns the exit code, standard error and the length of the output in bytes. */
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
  await until(
    "the first line in the log",
    async () => (await alice.run(["test", "-s", `${logOf()}/current`])).code === 0,
  );
});

test("dmctl log exits with 4 and says that the log broke off when the supervisor dies", async () => {
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

test("dmctl tail exits with 4 when its caller may no longer read the log, and goes on for the owner", async () => {
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

test("dmctl tail exits with 4 and says so when the files of the log are removed", async () => {
  const reading = reader("tail", "job");
  await reading.first();
  await succeed("rm", "-rf", logOf());
  const { code, errors } = await reading.end();
  expect([code, errors]).toEqual([4, expect.stringMatching(/broke off: .*files are gone/)]);
});
