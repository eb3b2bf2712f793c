import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULTS, type Definition } from "../../core/definition.ts";
import type { RunContext } from "../../engine/ports/runs.ts";
import { type LaunchPlan, launchDaemon } from "../../launch/plan.ts";
import { OwnerBudgets } from "../kernel/owner-budgets.ts";
import { privileged } from "../kernel/privileges.ts";
import { isAlive, readProcesses } from "../kernel/process-table.ts";
import { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import type { ShimLink } from "../shim/link.ts";
import { endShim, startedShim } from "../shim/started-shim.fake.ts";
import { Launches } from "./launches.ts";
import type { Run } from "./process-tree.ts";
import { eventually, RecordedEvents } from "./recorded-events.fake.ts";
import { type ProcessSlot, RunSlots } from "./run-slots.ts";

const { username, uid, gid } = userInfo();
const self = { name: username, uid, gid, home: "/", shell: "/bin/sh" };
const { SIGTERM } = constants.signals;

let runDir = "";
let reports: string[] = [];
let link: ShimLink;
let launches: Launches;
let runs: RunSlots;
let slot: ProcessSlot;
const launched: Run[] = [];

/** What the next supervisor makes. */
const connect = async (): Promise<void> => {
  link = await startedShim(runDir);
  makeSlot();
};
const makeSlot = (): void => {
  launches = new Launches(link, ({ gid }) => [gid]);
  runs = new RunSlots({
    ...{
      runDir,
      cgroups: { path: undefined },
      link,
      launches,
      snapshots: new SocketSnapshots(),
      budgets: new OwnerBudgets(),
    },
    report: (daemon, problem) => reports.push(`${daemon}: ${problem}`),
  });
  slot = runs.slot({ owner: self, name: "blog", instance: 1 });
};

beforeEach(async () => {
  runDir = mkdtempSync(join(tmpdir(), "runs-"));
  reports = [];
  await connect();
});
afterEach(() => {
  for (const run of launched.splice(0)) run.kill();
  endShim(link);
  rmSync(runDir, { recursive: true });
});

const planOf = (start: string, change: Partial<Definition> = {}): LaunchPlan =>
  launchDaemon({
    definition: { ...DEFAULTS, dir: "/", start, ...change },
    ...{ owner: self, account: self, cgroup: undefined, privileged, tools: "/nonexistent", socketPath: undefined },
    notifyPath: change.ready === "notify" ? slot.notifyPath : undefined,
  });

const CONTEXT: RunContext = { socket: undefined, bind: undefined, log: undefined, finish: undefined };

const launch = (start: string, change: Partial<Definition> = {}, context: Partial<RunContext> = {}) => {
  const events = new RecordedEvents();
  const run = slot.launch(1, planOf(start, change), { ...CONTEXT, ...context }, events);
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
  expect(events.exit).toMatchObject({ code: 7, signal: undefined, failure: undefined, oomKilled: false });
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
  expect(events.exit?.failure).toMatchObject({
    stage: "entering /nonexistent",
    reason: "no such directory, or no permission to reach it",
  });
});

test("a run gets as many variables as a conf file has room for", async () => {
  const environment = new Map(Array.from({ length: 5_500 }, (_, index) => [`A${index}`, "1"]));
  const { events } = launch("exit $((A0 + A5499))", { environment });
  await events.until("gone");
  expect(events.exit?.code).toBe(2);
});

test("a socket for sd_notify whose path is too long is reported with its path", () => {
  const plan = { ...planOf("exit 0"), notifyPath: join(runDir, "notify/anna", "n".repeat(100)) };
  expect(() => slot.launch(1, plan, CONTEXT, new RecordedEvents())).toThrow(
    /^socket path of \d+ B, at most 107 B .*n$/,
  );
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

test("a finish gets the exit code, and its own code arrives with the end of the run", async () => {
  const endings: unknown[] = [];
  const { events } = launch(
    "exit 7",
    {},
    {
      finish: (ending) => {
        endings.push(ending);
        return planOf("exit 9");
      },
    },
  );
  await events.until("gone");
  expect([endings, events.finish]).toEqual([[{ code: 7, signal: 0 }], 9]);
});

test("a finish that cannot be launched is reported, and the run ends without its code", async () => {
  const { events } = launch("exit 0", {}, { finish: () => planOf("x", { dir: "/none" }) });
  await events.until("gone");
  expect(events.finish).toBeUndefined();
  expect(reports).toEqual([
    expect.stringContaining("/blog: cannot launch its finish: entering /none: no such directory"),
  ]);
});

test("a finish whose process cannot be made leaves no cgroup behind", async () => {
  const cgroup = join(runDir, "anna/blog.d/finish");
  const { events } = launch(
    "exit 2",
    {},
    {
      finish: () => {
        mkdirSync(cgroup, { recursive: true });
        return { ...planOf("exit 0"), environment: new Map([["A", "x".repeat(1 << 20)]]), cgroup };
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

test("the run of an earlier supervisor is adopted: its end is reported, and signals reach it", async () => {
  const { run, events: before } = launch("exec sleep 1000");
  await before.until("launched");
  link.close();
  await connect();
  expect(runs.found({ owner: self, name: "blog" })).toEqual([{ instance: 1, run: 1, lives: true }]);
  const events = new RecordedEvents();
  const adopted = slot.adopt(1, run.trace, CONTEXT, events);
  expect([adopted?.pid, adopted?.trace, runs.found({ owner: self, name: "blog" })]).toEqual([run.pid, run.trace, []]);
  adopted?.signalAll(SIGTERM);
  await events.until("gone");
  expect(events.all).toEqual(["launched", "exited", "gone"]);
});

test("the exit of a run that ended between two supervisors is known, and kept until it is acknowledged", async () => {
  const { events: before } = launch(`${awaitGo()}; exit 3`);
  await before.until("launched");
  link.close();
  go();
  for (let round = 1; round <= 2; round += 1) {
    await connect();
    const events = new RecordedEvents();
    slot.adopt(1, undefined, CONTEXT, events);
    await events.until("gone");
    expect([events.all, events.exit?.code]).toEqual([["launched", "exited", "gone"], 3]);
    if (round === 1) link.close();
  }
  launches.acknowledge();
  link.close();
  await connect();
  expect(runs.found({ owner: self, name: "blog" })).toEqual([]);
});

test("a finish that an earlier supervisor launched is adopted with its run, and both are kept until the end is acknowledged", async () => {
  launch("exit 7", {}, { finish: () => planOf(`${awaitGo()}; exit 9`) });
  await eventually(() => expect(slot.finishing()).toBeDefined());
  launches.acknowledge();
  for (let round = 1; round <= 2; round += 1) {
    link.close();
    await connect();
    const events = new RecordedEvents();
    expect(slot.adopt(1, undefined, { ...CONTEXT, finish: () => expect.unreachable() }, events)?.pid).toBeGreaterThan(
      0,
    );
    expect(slot.finishing()).toBeDefined();
    runs.removeStrays(() => false);
    await events.until("exited");
    launches.acknowledge();
    if (round === 1) continue;
    expect(events.all).not.toContain("gone");
    go();
    await events.until("gone");
    expect([events.exit?.code, events.finish, slot.finishing()]).toEqual([7, 9, undefined]);
  }
  expect(link.requests.list()).toHaveLength(2);
  launches.acknowledge();
  expect(link.requests.list()).toHaveLength(0);
});

test.each([true, false])(
  "a number can be used again when its run is gone (acknowledged before: %s)",
  async (acknowledged) => {
    for (let round = 0; round < 3; round += 1) {
      const { run, events } = launch("trap '' TERM; sleep 1000");
      await events.until("launched");
      run.signalAll(SIGTERM);
      run.kill();
      await events.until("gone");
      if (acknowledged) launches.acknowledge();
    }
  },
);

test("a run of the same number can be launched at the very moment at which the one before is gone", async () => {
  const second = new RecordedEvents();
  const first = new RecordedEvents();
  first.gone = () => void launched.push(slot.launch(1, planOf("exit 4"), CONTEXT, second));
  launched.push(slot.launch(1, planOf("exit 3"), CONTEXT, first));
  await second.until("gone");
  expect([first.exit?.code, second.exit?.code]).toEqual([3, 4]);
});

test("what a run that the shim does not know has left is killed", async () => {
  const { run, events: before } = launch("sleep 1000 & exec sleep 1000");
  await before.until("launched");
  const other = runs.slot({ owner: self, name: "other", instance: 1 });
  const events = new RecordedEvents();
  expect(other.adopt(1, run.trace, CONTEXT, events)).toBeUndefined();
  await events.until("gone");
  expect([events.all, events.exit, isAlive(run.trace.leader)]).toEqual([["exited", "gone"], undefined, false]);
});

test("a process that has the pid of a run by now is left alone", async () => {
  const { run } = launch("exec sleep 1000");
  const { leader } = run.trace;
  const other = runs.slot({ owner: self, name: "other", instance: 1 });
  const events = new RecordedEvents();
  const trace = { ...run.trace, leader: { ...leader, startTime: leader.startTime - 1 } };
  expect(other.adopt(1, trace, CONTEXT, events)).toBeUndefined();
  await events.until("gone");
  expect([events.all, events.exit, isAlive(leader)]).toEqual([["exited", "gone"], undefined, true]);
});

test("runs that nobody adopts are killed, except those of spared owners", async () => {
  const { run, events: before } = launch("exec sleep 1000");
  await before.until("launched");
  link.close();
  await connect();
  runs.removeStrays((owner) => owner === username);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(isAlive(run.trace.leader)).toBe(true);
  runs.removeStrays(() => false);
  await eventually(() => expect(isAlive(run.trace.leader)).toBe(false));
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

test("the cgroup of a run that may have followed the adopted one is in use", () => {
  const own = link;
  const name = `${username}/blog:1:9`;
  const run = { kind: "run", name, pid: 0, state: "launched", cgroup: "/cgroups/blog.d/9" };
  const permitNext = (): void => {
    throw Object.assign(new Error("it has ended"), { code: "EBUSY" });
  };
  const foundRun = (wanted: string) => (wanted === name ? run : undefined);
  link = { foundRun, followers: () => [], follow: () => undefined, requests: { permitNext } } as unknown as ShimLink;
  makeSlot();
  slot.adopt(9, undefined, CONTEXT, new RecordedEvents());
  expect(slot.groups()).toEqual(["/cgroups/blog.d/9", "/cgroups/blog.d/10"]);
  link = own;
});
