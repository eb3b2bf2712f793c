import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { initial } from "../../core/lifecycle.ts";
import type { InstanceRecord } from "../../engine/ports/records.ts";
import { StateFiles } from "../files/state-file.ts";
import { identify } from "../kernel/process-table.ts";
import type { ShimLink } from "../shim/link.ts";
import { startedShim } from "../shim/started-shim.fake.ts";
import { rememberShim } from "./last-shim.ts";
import { endLeftDaemons, recordsIn } from "./left-daemons.ts";
import { eventually } from "./recorded-events.fake.ts";

const { uid, gid } = userInfo();
const account = uid === 0 ? { uid: 65_534, gid: 65_534, groups: [] } : undefined;

let directory: string;
let link: ShimLink;
let shim: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "left-"));
  link = await startedShim(directory);
  shim = link.requests.pid;
  rememberShim(directory, shim);
});
afterEach(() => {
  if (lives(shim)) process.kill(shim, "SIGKILL");
  rmSync(directory, { recursive: true });
});

const lives = (pid: number): boolean => identify(pid) !== undefined;
/** Launches a shell; returns its pid. */
const launch = (name: string, script: string, again?: number): number => {
  const words = ["/bin/sh", "-c", script];
  const environment = new Map([["PATH", "/usr/bin:/bin"]]);
  return link.requests.launch(name, { words, environment, directory: "/", account, again });
};
/** As `dmhost down` does when the supervisor has been killed. */
const end = (stop = 5000) => {
  link.close();
  return endLeftDaemons({ runDir: directory, stateDir: directory }, { reply: 200, stop, kill: 2000 });
};

test("daemons, their processes in other sessions, sockets, loggers, records and shim end", async () => {
  const file = join(directory, "site.sock");
  link.requests.listen("a/site", { path: file, uid, gid, mode: 0o600, backlog: 8 });
  link.requests.hold("a/site:fifo:1", { path: join(directory, "fifo"), uid, gid, mode: 0o622 });
  const logger = launch("a/site:fifo:1:log:1", "trap '' TERM; exec sleep 0.3");
  const pids = [launch("a/site:1:1", "sleep 99 & setsid sleep 98 & wait"), launch("a/plain:1:1", "exec sleep 97", 1)];
  new StateFiles(recordsIn(directory)).write("a", "site", "{}");
  expect(await end()).toBeGreaterThanOrEqual(3);
  expect([shim, logger, ...pids].map(lives)).toEqual([false, false, false, false]);
  expect([file, recordsIn(directory)].map(existsSync)).toEqual([false, false]);
  expect(await endLeftDaemons({ runDir: directory, stateDir: directory })).toBeUndefined();
});

test("a daemon that ignores TERM or is suspended is killed after the time for a stop", async () => {
  const stubborn = launch("a/stubborn:1:1", "trap '' TERM; while :; do sleep 1; done");
  const suspended = launch("a/suspended:1:1", "exec sleep 93");
  process.kill(suspended, "SIGSTOP");
  await end(100);
  expect([shim, stubborn, suspended].map(lives)).toEqual([false, false, false]);
});

test("a shim that was stopped ends with its daemons", async () => {
  const plain = launch("a/plain:1:1", "exec sleep 96");
  process.kill(shim, "SIGSTOP");
  await end();
  expect([shim, plain].map(lives)).toEqual([false, false]);
});

test("a shim whose socket was removed ends with its daemons", async () => {
  const plain = launch("a/plain:1:1", "exec sleep 95");
  rmSync(join(directory, "shim.sock"));
  await end();
  expect([shim, plain].map(lives)).toEqual([false, false]);
});

test("the recorded processes of a shim that was killed end", async () => {
  const plain = launch("a/plain:1:1", "sleep 94; sleep 94");
  const leader = identify(plain);
  const record: InstanceRecord = {
    state: { ...initial, phase: "running", want: "up", run: 1 },
    fingerprint: "",
    scale: undefined,
    size: 1,
    role: "active",
    run: leader && { leader, cgroup: undefined, socketFile: undefined },
    log: undefined,
  };
  const files = new StateFiles(recordsIn(directory));
  files.write("a", "plain", JSON.stringify(record));
  writeFileSync(join(recordsIn(directory), "a/damaged.json"), "{");
  process.kill(shim, "SIGKILL");
  await eventually(() => expect(lives(shim)).toBe(false));
  await end();
  expect(lives(plain)).toBe(false);
});
