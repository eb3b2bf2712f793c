import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DEFAULTS } from "../../core/definition.ts";
import type { HeldLog, LogPredecessor } from "../../engine/ports/logs.ts";
import { type LaunchPlan, launchLogger } from "../../launch/plan.ts";
import { KnownAccounts } from "../accounts/known-accounts.ts";
import { privileged } from "../kernel/privileges.ts";
import { identify, readProcesses } from "../kernel/process-table.ts";
import { Launches } from "../processes/launches.ts";
import { eventually } from "../processes/recorded-events.fake.ts";
import type { ShimLink } from "../shim/link.ts";
import { endShim, startedShim } from "../shim/started-shim.fake.ts";
import { FifoLogs } from "./fifo-logs.ts";

const { username, uid, gid } = userInfo();
let directory = "";
let files = "";
let reports: string[] = [];
let changes = 0;
let link: ShimLink;
let logs: FifoLogs;
const opened: HeldLog[] = [];

const owner = () => ({ name: username, uid, gid, home: directory, shell: "/bin/sh" });
const key = () => ({ owner: owner(), name: "blog" });
const runDir = (): string => join(directory, "run");
/** What the next supervisor makes. */
const connect = async (): Promise<void> => {
  const accounts = new KnownAccounts({ users: new Map(), groups: new Map() });
  const report = (daemon: string, problem: string): void => void reports.push(`${daemon}: ${problem}`);
  link = await startedShim(runDir());
  const launches = new Launches(link, (account) => [account.gid]);
  logs = new FifoLogs({ runDir: runDir(), link, launches, accounts, report });
};

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "fifo-logs-"));
  files = join(directory, "log");
  reports = [];
  changes = 0;
  mkdirSync(runDir());
  await connect();
});
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
  endShim(link);
  rmSync(directory, { recursive: true });
});

/** A logger by a script. */
const logger = (script: string): LaunchPlan => ({
  ...launchLogger(files, owner(), DEFAULTS, privileged),
  words: ["/bin/sh", "-c", script],
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

/** Writes to the FIFO of a log, as its daemon does. */
const write = ({ name }: HeldLog, text: string): void =>
  appendFileSync(join(runDir(), "logs", username, `blog.${name.split(":").at(-1)}.fifo`), text);

const content = (name = "current"): string =>
  existsSync(join(files, name)) ? readFileSync(join(files, name), "utf8") : "";
const loggerPid = (log: HeldLog): number => log.trace().logger?.pid ?? 0;

test("everything that was written is in the log's files when close has resolved, and the FIFO is removed", async () => {
  // As s6-log does, it finishes what it has read after TERM; cat(1) would end between read and write.
  const log = open(logger(`trap '' TERM; exec cat >>"${join(files, "current")}"`));
  const lines = Array.from({ length: 500 }, (_, line) => `line ${line}\n`).join("");
  write(log, lines);
  await log.close();
  opened.length = 0;
  expect(content()).toBe(lines);
  expect(readdirSync(join(runDir(), "logs", username))).toEqual([]);
  expect(reports).toEqual([]);
});

test("another logger replaces one that was killed, reports the change, and gets the lines written meanwhile", async () => {
  const log = open();
  await eventually(() => expect(existsSync(join(files, "current"))).toBe(true));
  const first = loggerPid(log);
  const changesBefore = changes;
  process.kill(first, "SIGKILL");
  await eventually(() => expect(identify(first)).toBeUndefined());
  write(log, "between\n");
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
  write(log, "one\n");
  await eventually(() => expect(content()).toBe("one\n"));
  const first = loggerPid(log);
  log.follow(appender());
  expect(loggerPid(log)).toBe(first);
  log.follow(appender("other"));
  await eventually(() => expect([loggerPid(log) === first, existsSync(join(files, "other"))]).toEqual([false, true]));
  write(log, "two\n");
  await eventually(() => expect([content(), content("other")]).toEqual(["one\n", "two\n"]));
});

test("the next supervisor adopts the logger, and no line is lost between them", async () => {
  const log = open();
  const { logger: trace, signature } = log.trace();
  write(log, "before\n");
  link.close();
  write(log, "between\n");
  await connect();
  opened.length = 0;
  const next = open(appender(), { dropped: 3, signature });
  write(next, "after\n");
  expect([next.name, next.trace().logger, next.loss().lines]).toEqual([log.name, trace, 3]);
  await eventually(() => expect(content()).toBe("before\nbetween\nafter\n"));
});

test("a log with the logger of an earlier supervisor leaves nothing when it is closed", async () => {
  open();
  opened.length = 0;
  link.close();
  await connect();
  const log = open();
  await eventuallyPid(log);
  await log.close();
  opened.length = 0;
  expect(readdirSync(join(runDir(), "logs", username))).toEqual([]);
  expect(link.requests.list().filter(({ kind }) => kind === "fifo")).toEqual([]);
});

test("a logger that an earlier supervisor was waiting for is ended, although its FIFO is closed", async () => {
  const log = open(logger("trap '' TERM; exec sleep 1000"));
  const pid = await eventuallyPid(log);
  opened.length = 0;
  link.requests.release("fifo", log.name);
  link.close();
  await connect();
  logs.removeStrays((daemon) => daemon === `${username}/blog`);
  await eventually(() => expect(identify(pid)).toBeUndefined());
});

test("a log gets its own logger while one that reads a closed FIFO has not ended, and nothing of that stays", async () => {
  const former = open(logger("trap '' TERM; exec sleep 1000"));
  const pid = await eventuallyPid(former);
  link.requests.release("fifo", former.name);
  link.close();
  opened.length = 0;
  await connect();
  const log = open();
  expect(loggerPid(log)).not.toBe(pid);
  logs.removeStrays((daemon) => daemon === `${username}/blog`);
  write(log, "later\n");
  await eventually(() => expect(content()).toBe("later\n"));
  await eventually(() => expect(identify(pid)).toBeUndefined());
  const left = () => link.requests.list().filter(({ name }) => !name.startsWith(log.name));
  await eventually(() => expect(left()).toEqual([]));
});

test("a log waits for the end of the log before it, and then starts its logger", async () => {
  let close = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const log = open(appender(), { closed });
  write(log, "early\n");
  expect(log.trace().logger).toBeUndefined();
  close();
  await eventually(() => expect(content()).toBe("early\n"));
});

test("a log that is closed while it waits for the log before it loses no line", async () => {
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const log = open(appender(), { closed });
  write(log, "early\n");
  const ended = log.close();
  opened.length = 0;
  close();
  await ended;
  expect(content()).toBe("early\n");
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
  mkdirSync(join(runDir(), "logs", username), { recursive: true });
  writeFileSync(join(runDir(), "logs", username, "blog.1.fifo"), "in the way");
  const log = open();
  write(log, "written\n");
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
  write(log, "never read\n");
  const pid = await eventuallyPid(log);
  await log.close();
  opened.length = 0;
  expect(identify(pid)).toBeUndefined();
});

test("the next supervisor adopts a log without a look at the logs of all other daemons", async () => {
  const log = open(logger("exec cat >/dev/null"));
  const pid = await eventuallyPid(log);
  link.close();
  opened.length = 0;
  await connect();
  const looks = [vi.spyOn(link, "unused"), vi.spyOn(link, "found")];
  expect(loggerPid(open(logger("exec cat >/dev/null")))).toBe(pid);
  expect(looks.map(({ mock }) => mock.calls)).toEqual([[], []]);
});
