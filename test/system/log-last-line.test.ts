/** A last line that its daemon did not end: it is logged, and nothing is where there was none. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, loggerOf } from "./log-directory.ts";
import { statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const idOf = (name: string): string => `${alice.name}/${name}`;
const load = async (name: string, start: string, ...keys: string[]): Promise<void> => {
  alice.writeConf(name, `start = ${start}`, "output = log", "autostart = no", ...keys);
  await supervisor.rescan();
};
const written = (name: string, ...lines: string[]): Promise<unknown> =>
  until(`"${lines}" in the log of ${name}`, () => {
    try {
      return JSON.stringify(linesIn(directoryOf(name))) === JSON.stringify(lines);
    } catch {
      return false;
    }
  });

test.each(["no", "yes"])("of a run that ends by itself, with log-compress=%s", async (compress) => {
  const name = `half-${compress}`;
  await load(name, "echo begun; printf 'fatal: no coffee'; sleep 1", `log-compress = ${compress}`);
  await supervisor.act("once", idOf(name));
  await written(name, "begun", "fatal: no coffee");
  // The next run begins on a line of its own, and its own last line is logged as well.
  await supervisor.act("once", idOf(name));
  await written(name, "begun", "fatal: no coffee", "begun", "fatal: no coffee");
});

test("of a run that crashes, while the next one is waited for", async () => {
  await load("crash", "echo begun; printf 'fatal: no coffee'; exit 1");
  await supervisor.act("start", idOf("crash"));
  await until("the line", () => linesIn(directoryOf("crash")).includes("fatal: no coffee"));
  expect(linesIn(directoryOf("crash"))).not.toContain("");
  await supervisor.act("stop", idOf("crash"));
});

test("nothing follows a line that has its end", async () => {
  await load("whole", "echo begun; echo; echo end; exit 1");
  await supervisor.act("start", idOf("whole"));
  const first = await until("its logger", () => loggerOf(alice.uid, directoryOf("whole")));
  await until("another one", () => {
    const pid = loggerOf(alice.uid, directoryOf("whole"));
    return pid !== undefined && pid !== first;
  });
  const runs = linesIn(directoryOf("whole")).length / 3;
  await until("more lines", () => linesIn(directoryOf("whole")).length > 3 * runs);
  await supervisor.act("stop", idOf("whole"));
  const lines = linesIn(directoryOf("whole"));
  expect(lines).toEqual(Array.from({ length: lines.length / 3 }, () => ["begun", "", "end"]).flat());
});

test("of a daemon that is stopped", async () => {
  await load("stopped", "printf 'one\\ntwo'; exec sleep 1000");
  await supervisor.up(idOf("stopped"));
  await supervisor.act("stop", idOf("stopped"));
  await written("stopped", "one", "two");
  await supervisor.up(idOf("stopped"));
  await supervisor.act("stop", idOf("stopped"));
  await written("stopped", "one", "two", "one", "two");
});

test("while another instance lives, its lines are left alone", async () => {
  const first = "if mkdir $HOME/taken 2>/dev/null; then printf half; sleep 1; exit 1; fi";
  const others = "i=0; while [ $i -lt 8 ]; do i=$((i+1)); printf a; sleep 0.5; echo b; done; exec sleep 1000";
  await load("pair", `${first}; ${others}`, "instances = 2");
  await supervisor.up(idOf("pair"));
  await until("its lines", () => linesIn(directoryOf("pair")).filter((line) => line.endsWith("b")).length >= 8);
  expect(linesIn(directoryOf("pair")).filter((line) => line === "" || line === "a")).toEqual([]);
});

test("a logger that does not end at once is not taken for one that holds a line", async () => {
  const first = "if mkdir $HOME/begun 2>/dev/null; then echo begun; exit 1; fi";
  await load("held", `${first}; [ -e $HOME/again ] || exit 1; echo again; exec sleep 1000`);
  await supervisor.act("start", idOf("held"));
  await written("held", "begun");
  // Until the next try is so far off that the line would be ended before it.
  await until("a long pause", async () => (await supervisor.status(idOf("held"))).cooldown > 1);
  const logger = await until("its logger", () => loggerOf(alice.uid, directoryOf("held")));
  process.kill(logger, "SIGSTOP");
  const TERM = 1n << 14n;
  await until("a logger that is told to end", () => (BigInt(`0x${statusOf(logger).get("ShdPnd")}`) & TERM) !== 0n);
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.kill(logger, "SIGCONT");
  await until("another logger", () => {
    const pid = loggerOf(alice.uid, directoryOf("held"));
    return pid !== undefined && pid !== logger;
  });
  alice.write("again", "");
  await supervisor.act("start", idOf("held"));
  await written("held", "begun", "again");
});
