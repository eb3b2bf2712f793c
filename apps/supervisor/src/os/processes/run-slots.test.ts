import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULTS, type Definition } from "../../core/definition.ts";
import type { LiveRun, RunContext, RunSlot } from "../../engine/ports/runs.ts";
import { type LaunchPlan, launchDaemon } from "../../launch/plan.ts";
import { OwnerBudgets } from "../kernel/owner-budgets.ts";
import { Poller } from "../kernel/poller.ts";
import { privileged } from "../kernel/privileges.ts";
import { identify, isAlive, readProcesses } from "../kernel/process-table.ts";
import { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { eventually, RecordedEvents } from "./recorded-events.fake.ts";
import { RunSlots } from "./run-slots.ts";

const { username, uid, gid } = userInfo();
const self = { name: username, uid, gid, home: "/", shell: "/bin/sh" };
const { SIGTERM } = constants.signals;

let runDir = "";
let reports: string[] = [];
let runs: RunSlots;
let slot: RunSlot;
const launched: LiveRun[] = [];

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "runs-"));
  reports = [];
  runs = new RunSlots(
    {
      ...{ runDir, poller: new Poller(), snapshots: new SocketSnapshots() },
      report: (daemon, problem) => reports.push(`${daemon}: ${problem}`),
    },
    new OwnerBudgets(),
  );
  slot = runs.slot({ owner: self, name: "blog", instance: 1 });
});
afterEach(() => {
  runs.discardNow();
  for (const run of launched.splice(0)) run.kill();
  rmSync(runDir, { recursive: true });
});

const planOf = (start: string, change: Partial<Definition> = {}): LaunchPlan =>
  launchDaemon({
    definition: { ...DEFAULTS, dir: "/", start, ...change },
    ...{ owner: self, account: self, cgroup: undefined, privileged, tools: "/nonexistent", socketPath: undefined },
    notifyPath: change.ready === "notify" ? slot.notifyPath : undefined,
  });

const CONTEXT: RunContext = {
  socket: undefined,
  bind: undefined,
  input: "nothing",
  ready: "accept",
  account: self,
  log: undefined,
  cgroup: undefined,
  finish: undefined,
};

const launch = (start: string, change: Partial<Definition> = {}, context: Partial<RunContext> = {}) => {
  const events = new RecordedEvents();
  const ready = change.ready ?? CONTEXT.ready;
  const run = slot.launch(1, planOf(start, change), { ...CONTEXT, ready, ...context }, events);
  launched.push(run);
  return { run, events };
};

/** Shell text that waits for `go`: a program that exits at once may end before its launch is reported. */
const awaitGo = (): string => `until [ -e ${runDir}/go ]; do sleep 0.01; done`;
const go = (): void => writeFileSync(join(runDir, "go"), "");

test("a run reports its launch, its exit code and its end, in this order", async () => {
  const { events } = launch(`${awaitGo()}; exit 7`);
  await events.until("launched");
  go();
  await events.until("gone");
  expect(events.all).toEqual(["launched", "exited", "gone"]);
  expect(events.exit).toMatchObject({ code: 7, signal: undefined, report: "", oomKilled: false });
});

test("a signal to a run's main process ends it by that signal", async () => {
  const { run, events } = launch("exec sleep 1000");
  await events.until("launched");
  run.signal(SIGTERM);
  await events.until("gone");
  expect(events.exit).toMatchObject({ code: undefined, signal: "SIGTERM" });
});

test("a kill ends all processes of a run's session", async () => {
  const { run, events } = launch("sleep 1000 & sleep 1000 & exec sleep 1000");
  const session = () => readProcesses().filter((row) => row.session === run.pid);
  await eventually(() => expect(session()).toHaveLength(3));
  run.kill();
  await events.until("gone");
  expect(session()).toEqual([]);
});

test("a run is gone only when its last process has ended", async () => {
  const { run, events } = launch("sleep 1000 & exit 0");
  await events.until("exited");
  expect(events.all).not.toContain("gone");
  run.signalAll(SIGTERM);
  await events.until("gone");
});

test("a failed launch reports the stage and never counts as launched", async () => {
  const { events } = launch("exit 0", { dir: "/nonexistent" });
  await events.until("gone");
  expect(events.all).toEqual(["exited", "gone"]);
  expect(events.exit?.report).toContain("entering /nonexistent");
});

test("a line on the descriptor of ready=fd: reports readiness", async () => {
  const { events } = launch("echo ready >&5; exec sleep 1000", { ready: "fd:5" });
  await events.until("ready");
});

test("text without a newline on the descriptor of ready=fd: does not report readiness", async () => {
  const { events } = launch(`${awaitGo()}; printf ready >&5; exit 0`, { ready: "fd:5" });
  await events.until("launched");
  go();
  await events.until("gone");
  expect(events.all).toEqual(["launched", "exited", "gone"]);
});

test("READY=1 on the socket of ready=notify reports readiness, and other messages do not", async () => {
  const send = `use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); connect($s, pack_sockaddr_un($ENV{NOTIFY_SOCKET}))
    or die; send($s, $_, 0) for "STATUS=busy", "READY=1\\n"; sleep 1000`;
  const { events } = launch(`exec perl -e '${send}'`, { ready: "notify" });
  await events.until("ready");
});

test("a standby launch waits at the gate and becomes the run of its number", async () => {
  const plan = planOf("exec sleep 1000");
  slot.prepare(2, plan, CONTEXT);
  expect([slot.standby(2) !== undefined, slot.standby(1)]).toEqual([true, undefined]);
  const before = identify(process.pid)?.startTime ?? 0;
  const standby = readProcesses().filter(({ parent, startTime }) => parent === process.pid && startTime >= before);
  const events = new RecordedEvents();
  const run = slot.launch(2, plan, CONTEXT, events);
  launched.push(run);
  await events.until("launched");
  expect(standby.map(({ pid }) => pid)).toContain(run.pid);
  expect(slot.standby(2)).toBeUndefined();
});

test("a discarded standby launch starts nothing of the tenant's", async () => {
  const marker = join(runDir, "started");
  slot.prepare(1, planOf(`exec touch ${marker}`), CONTEXT);
  slot.discard();
  expect(slot.standby(1)).toBeUndefined();
  const { events } = launch(`[ ! -e ${marker} ]`);
  await events.until("gone");
  expect(events.exit).toMatchObject({ code: 0 });
});

test("all standby launches have ended and are reaped when discardNow returns", () => {
  const leaders = () => readProcesses().filter(({ parent, session, pid }) => parent === process.pid && session === pid);
  // A run that an earlier test has killed may still be there.
  const earlier = new Set(leaders().map(({ pid }) => pid));
  const children = () => leaders().filter(({ pid }) => !earlier.has(pid));
  slot.prepare(1, planOf("exit 0"), CONTEXT);
  expect(children()).toHaveLength(1);
  runs.discardNow();
  expect(children()).toEqual([]);
  expect(slot.standby(1)).toBeUndefined();
});

test("no process of a standby launch is left when discardAll resolves, also of one that was discarded before", async () => {
  const chains = () => readProcesses().filter(({ parent, session, pid }) => parent === process.pid && session === pid);
  const earlier = new Set(chains().map(({ pid }) => pid));
  slot.prepare(1, planOf("exit 0"), CONTEXT);
  slot.discard();
  slot.prepare(2, planOf("exit 0"), CONTEXT);
  const prepared = chains().filter(({ pid }) => !earlier.has(pid));
  expect(prepared.length).toBeGreaterThan(0);
  await runs.discardAll();
  expect([prepared.filter(isAlive), slot.standby(2)]).toEqual([[], undefined]);
});

test("a finish gets the exit code, and its own code arrives with the end of the run", async () => {
  const endings: unknown[] = [];
  const { events } = launch(
    "exit 7",
    {},
    {
      finish: (ending) => {
        endings.push(ending);
        return { plan: planOf("exit 9"), cgroup: undefined };
      },
    },
  );
  await events.until("gone");
  expect([endings, events.finish]).toEqual([[{ code: 7, signal: 0 }], 9]);
});

test("a finish that cannot be launched is reported, and the run ends without its code", async () => {
  const { events } = launch(
    "exit 0",
    {},
    { finish: () => ({ plan: planOf("x", { dir: "/none" }), cgroup: undefined }) },
  );
  await events.until("gone");
  expect(events.finish).toBeUndefined();
  expect(reports).toEqual([expect.stringMatching(/\/blog: its finish was not launched: [\s\S]*entering \/none$/)]);
});

test("a finish whose process cannot be made leaves no cgroup behind", async () => {
  const cgroup = join(runDir, "anna/blog.d/finish");
  const { events } = launch(
    "exit 2",
    {},
    {
      finish: () => {
        mkdirSync(cgroup, { recursive: true });
        return { plan: { ...planOf("exit 0"), file: "/nonexistent" }, cgroup };
      },
    },
  );
  await events.until("gone");
  expect([events.finish, existsSync(cgroup)]).toEqual([undefined, false]);
});

test("no finish follows a failed launch", async () => {
  const { events } = launch("exit 0", { dir: "/none" }, { finish: () => expect.unreachable() });
  await events.until("gone");
  expect([events.finish, reports]).toEqual([undefined, []]);
});

test("a run of an earlier supervisor is adopted by its trace: its end is reported, and signals reach it", async () => {
  const { run } = launch("exec sleep 1000");
  const later = runs.slot({ owner: self, name: "blog", instance: 1 });
  const events = new RecordedEvents();
  const adopted = later.adopt(1, run.trace, CONTEXT, events);
  expect([adopted?.pid, adopted?.trace]).toEqual([run.pid, run.trace]);
  adopted?.signalAll(SIGTERM);
  await events.until("gone");
  expect(events.all).toEqual(["exited", "gone"]);
});

test("a run whose pid another process has by now is not adopted, and that process is left alone", async () => {
  const { run } = launch("exec sleep 1000");
  const { leader } = run.trace;
  const events = new RecordedEvents();
  const trace = { ...run.trace, leader: { ...leader, startTime: leader.startTime - 1 } };
  expect(slot.adopt(1, trace, CONTEXT, events)).toBeUndefined();
  await events.until("gone");
  expect([events.all, events.exit, isAlive(leader)]).toEqual([["exited", "gone"], undefined, true]);
});

test("a run without a trace is reported as ended", async () => {
  const events = new RecordedEvents();
  expect(slot.adopt(1, undefined, CONTEXT, events)).toBeUndefined();
  await events.until("gone");
  expect([events.all, events.exit]).toEqual([["exited", "gone"], undefined]);
});

test("a stray run is killed and reported", async () => {
  const { run, events } = launch("exec sleep 1000");
  runs.removeStray("anna", "blog", run.trace);
  await events.until("gone");
  expect(events.exit).toMatchObject({ signal: "SIGKILL" });
  expect(reports).toEqual(["anna/blog: killing its run: its conf file or its grant was removed"]);
});
