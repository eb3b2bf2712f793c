/** A log that cannot be shown to its end is not taken for the whole: dmctl says so, and its exit code does. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  alice.writeConf("job", "start = echo begun; exec sleep 1000", "output = log");
  await supervisor.start();
});
afterAll(() => stage.remove());

const logOf = (): string => join(alice.home, ".daemon-manager/logs/job");

/** dmctl whose output is read only when it is asked for. */
const reader = (...words: string[]) => {
  const [file = "", ...args] = [...alice.become, toolbox.node, toolbox.dmctl, ...words];
  const env = { ...alice.environment, DMCTL_SOCKET: supervisor.socket };
  const child = spawn(file, args, { env, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = once(child, "close");
  return {
    first: () => once(child.stdout, "readable"),
    /** Reads on to the end; gives its exit code, what it complained of, and how much it wrote. */
    end: async () => {
      let length = 0;
      child.stdout.on("data", (chunk: Buffer) => {
        length += chunk.length;
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

test("a log that is followed and whose files are gone: exit code 4, and it is said", async () => {
  const reading = reader("tail", "job");
  await reading.first();
  await succeed("rm", "-rf", logOf());
  const { code, errors } = await reading.end();
  expect([code, errors]).toEqual([4, expect.stringMatching(/broke off: .*files are gone/)]);
});
