import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HeldLog, LogPredecessor, LogTrace } from "../../engine/ports/logs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { KnownAccounts } from "../accounts/known-accounts.ts";
import { Poller } from "../kernel/poller.ts";
import { identify, readProcesses } from "../kernel/process-table.ts";
import { eventually } from "../processes/recorded-events.fake.ts";
import { FifoLogs } from "./fifo-logs.ts";

const { username, uid, gid } = userInfo();
let directory = "";
let files = "";
let reports: string[] = [];
let changes = 0;
let logs: FifoLogs;
const opened: HeldLog[] = [];

const owner = () => ({ name: username, uid, gid, home: directory, shell: "/bin/sh" });
const key = () => ({ owner: owner(), name: "blog" });
const makeLogs = (): FifoLogs => {
  const accounts = new KnownAccounts({ users: new Map(), groups: new Map() });
  const report = (daemon: string, problem: string): void => void reports.push(`${daemon}: ${problem}`);
  return new FifoLogs({ runDir: join(directory, "run"), accounts, poller: new Poller(), report });
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fifo-logs-"));
  files = join(directory, "log");
  reports = [];
  changes = 0;
  logs = makeLogs();
});
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
  rmSync(directory, { recursive: true });
});

/** A logger by a script, which has passed the gate as launch chains do. */
const logger = (script: string): LaunchPlan => ({
  file: "/bin/sh",
  argv: ["sh", "-c", `read -r go <&4 || exit 111; exec 2>&8 3>&- 4>&- 8>&-; ${script}`],
  environment: new Map([["PATH", "/usr/bin:/bin"]]),
  slots: { report: 3, gate: 4, socket: 6, ready: 7, stderr: 8 },
});
/** Appends to the log's file, as s6-log does. */
const appender = (name = "current"): LaunchPlan => logger(`exec cat >>"${join(files, name)}"`);

const before = (change: Partial<LogPredecessor> = {}): LogPredecessor => ({
  logger: undefined,
  signature: undefined,
  dropped: 0,
  closed: undefined,
  changed: () => {
    changes += 1;
  },
  ...change,
});

const open = (plan = appender(), change: Partial<LogPredecessor> = {}): HeldLog => {
  const log = logs.open(key(), owner(), plan, files, before(change));
  opened.push(log);
  return log;
};
const openService = (plan: LaunchPlan): HeldLog => {
  mkdirSync(files);
  const log = logs.openService(
    key(),
    owner(),
    () => plan,
    () => undefined,
    before(),
  );
  opened.push(log);
  return log;
};

const content = (name = "current"): string =>
  existsSync(join(files, name)) ? readFileSync(join(files, name), "utf8") : "";
const loggerPid = (log: HeldLog): number => log.trace().logger?.pid ?? 0;

test("everything that was written is in the log's files when close has resolved, and the FIFO is removed", async () => {
  // As s6-log does, it finishes what it has read after TERM; cat(1) would end between read and write.
  const log = open(logger(`trap '' TERM; exec cat >>"${join(files, "current")}"`));
  const lines = Array.from({ length: 500 }, (_, line) => `line ${line}\n`).join("");
  writeSync(log.descriptor, lines);
  await log.close();
  opened.length = 0;
  expect(content()).toBe(lines);
  expect(existsSync(join(directory, "run/logs", username, "blog.fifo"))).toBe(false);
  expect(reports).toEqual([]);
});

test("another logger replaces one that was killed, reports the change, and gets the lines written meanwhile", async () => {
  const log = open();
  await eventually(() => expect(existsSync(join(files, "current"))).toBe(true));
  const first = loggerPid(log);
  const changesBefore = changes;
  process.kill(first, "SIGKILL");
  await eventually(() => expect(identify(first)).toBeUndefined());
  writeSync(log.descriptor, "between\n");
  await eventually(() => expect([content(), loggerPid(log) !== first]).toEqual(["between\n", true]));
  expect(changes).toBeGreaterThan(changesBefore);
});

test("a logger that ends at once is reported with its last message, also as the reason of the loss", async () => {
  const log = open(logger("echo 'the disk is broken' >&2; exit 5"));
  await eventually(() => expect(log.loss().reason).toBe("its logger ended at once with code 5: the disk is broken"));
  expect(reports[0]).toBe(
    `${username}/blog: the logger ended at once with code 5: the disk is broken; check that its directory belongs to the owner and has space`,
  );
});

test("a logger with other terms replaces the present one, and one with equal terms does not", async () => {
  const log = open();
  writeSync(log.descriptor, "one\n");
  await eventually(() => expect(content()).toBe("one\n"));
  const first = loggerPid(log);
  log.follow(appender());
  expect(loggerPid(log)).toBe(first);
  log.follow(appender("other"));
  await eventually(() => expect([loggerPid(log) === first, existsSync(join(files, "other"))]).toEqual([false, true]));
  writeSync(log.descriptor, "two\n");
  await eventually(() => expect([content(), content("other")]).toEqual(["one\n", "two\n"]));
});

/** Opens the same log in another process, the earlier supervisor, and prints its trace. */
const EARLIER = `
  import { FifoLogs } from ${JSON.stringify(join(import.meta.dirname, "fifo-logs.ts"))};
  import { KnownAccounts } from ${JSON.stringify(join(import.meta.dirname, "../accounts/known-accounts.ts"))};
  import { Poller } from ${JSON.stringify(join(import.meta.dirname, "../kernel/poller.ts"))};
  const { runDir, key, plan, files } = JSON.parse(process.argv[1]);
  const accounts = new KnownAccounts({ users: new Map(), groups: new Map() });
  const logs = new FifoLogs({ runDir, accounts, poller: new Poller(), report: () => undefined });
  const before = { dropped: 3, changed: () => undefined };
  const logger = { ...plan, environment: new Map(plan.environment) };
  console.log(JSON.stringify(logs.open(key, key.owner, logger, files, before).trace()));
`;

test("the next supervisor adopts the logger by its trace, and no line is lost between them", async () => {
  const plan = appender();
  const options = {
    runDir: join(directory, "run"),
    key: key(),
    files,
    plan: { ...plan, environment: [...plan.environment] },
  };
  const argv = ["--input-type=module", "-e", EARLIER, JSON.stringify(options)];
  const earlier = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const [output] = (await once(earlier.stdout, "data")) as [Buffer];
  const trace = JSON.parse(output.toString()) as LogTrace;
  const next = open(plan, trace);
  writeSync(next.descriptor, "before\n");
  earlier.kill("SIGKILL");
  await once(earlier, "exit");
  writeSync(next.descriptor, "after\n");
  expect([next.trace(), next.loss().lines]).toEqual([trace, 3]);
  await eventually(() => expect(content()).toBe("before\nafter\n"));
});

test("a log waits for the end of the log before it, and then starts its logger", async () => {
  let close = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const log = open(appender(), { closed });
  writeSync(log.descriptor, "early\n");
  expect(log.trace().logger).toBeUndefined();
  close();
  await eventually(() => expect(content()).toBe("early\n"));
});

test("lines that an earlier supervisor dropped stay counted", () => {
  const log = open(appender(), { dropped: 12 });
  expect([log.loss(), log.trace().dropped]).toEqual([{ lines: 12, reason: "" }, 12]);
});

test("a log whose directory is a file is refused with the reason", () => {
  writeFileSync(files, "");
  expect(() => open()).toThrow(`${files} is not a directory; replace it by one`);
});

test("another file in place of the FIFO is replaced", async () => {
  mkdirSync(join(directory, "run/logs", username, "blog.fifo"), { recursive: true });
  const log = open();
  writeSync(log.descriptor, "written\n");
  await eventually(() => expect(content()).toBe("written\n"));
});

test("a tenant's logger has no signature, and is killed with all its processes when it is ended", async () => {
  const log = openService(logger(`sleep 1000 & exec cat >>"${join(files, "current")}"`));
  const first = await eventuallyPid(log);
  const session = (): number => readProcesses().filter((row) => row.session === first).length;
  await eventually(() => expect(session()).toBe(2));
  expect(log.trace().signature).toBeUndefined();
  log.helperProcess()?.end("out of memory");
  await eventually(() => expect([session(), loggerPid(log) !== first]).toEqual([0, true]));
  expect(reports).toContain(`${username}/blog: killing its log/run: out of memory`);
});

const eventuallyPid = async (log: HeldLog): Promise<number> => {
  await eventually(() => expect(loggerPid(log)).toBeGreaterThan(0));
  return loggerPid(log);
};

test("our own logger is no helper process of the daemon", () => {
  expect(open().helperProcess()).toBeUndefined();
});

test("a logger that ignores TERM and does not read is killed after a time, and close resolves", async () => {
  const log = open(logger("trap '' TERM; exec sleep 1000"));
  writeSync(log.descriptor, "never read\n");
  const pid = await eventuallyPid(log);
  await log.close();
  opened.length = 0;
  expect(identify(pid)).toBeUndefined();
});
