import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { initial } from "../../core/lifecycle.ts";
import type { InstanceRecord } from "../../engine/ports/records.ts";
import { RecordFiles } from "./record-files.ts";
import { StateFiles } from "./state-file.ts";

const OWNER = { name: "anna", uid: 1000, gid: 1000, home: "/home/anna", shell: "/bin/sh" };
const KEY = { owner: OWNER, name: "blog" };
const RECORD: InstanceRecord = {
  state: { ...initial, phase: "running", want: "up", run: 3, startedAt: 12.5 },
  fingerprint: "abc",
  scale: undefined,
  size: 2,
  role: "active",
  run: { leader: { pid: 4711, startTime: 99 }, cgroup: "/sys/fs/cgroup/dmhost/anna/blog.d/3", socketFile: 17 },
  log: { logger: { pid: 4712, startTime: 98 }, signature: "s", dropped: 0 },
};

let directory: string;
let states: StateFiles;
let problems: string[];
let records: RecordFiles;
/** Copies of the records, as JSON by name. */
let copies: Map<string, string>;
let written: number;
/** How often the names of the copies were read. */
let listed: number;
const open = (): RecordFiles =>
  new RecordFiles(
    states,
    {
      read: (name) => JSON.parse(copies.get(name) ?? "null") ?? undefined,
      names: () => {
        listed += 1;
        return [...copies.keys()];
      },
      write: (name, text) => void copies.set(name, text),
      remove: (name) => void copies.delete(name),
    },
    () => {
      written += 1;
    },
    (daemon, problem) => problems.push(`${daemon}: ${problem}`),
  );

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "records-"));
  states = new StateFiles(directory);
  problems = [];
  copies = new Map();
  written = 0;
  listed = 0;
  records = open();
});
afterEach(() => rmSync(directory, { recursive: true }));

const slot = (instance: number) => records.slot({ ...KEY, instance });

test("the next supervisor reads the records that were written, in the order of the instances", () => {
  const second: InstanceRecord = { ...RECORD, role: "candidate", run: undefined, log: undefined, scale: 2 };
  slot(10).write(() => second);
  slot(2).write(() => second);
  slot(1).write(() => RECORD);
  records.flush();
  const recalled = open().recall(KEY);
  expect([...recalled.keys()]).toEqual([1, 2, 10]);
  expect([recalled.get(1), recalled.get(2)]).toEqual([RECORD, second]);
  expect([open().owners(), open().daemons("anna"), problems]).toEqual([["anna"], ["blog"], []]);
});

test("a record is written once at the end of a turn, as it is then, however often that was requested", async () => {
  let size = 0;
  let made = 0;
  const one = slot(1);
  for (size = 1; size < 5; size += 1) {
    one.write(() => {
      made += 1;
      return { ...RECORD, size };
    });
  }
  expect(open().recall(KEY).size).toBe(0);
  await turn();
  expect([made, open().recall(KEY).get(1)?.size]).toEqual([1, 5]);
});

test("a flush writes what is pending at once, and nothing is written again at the end of the turn", async () => {
  let made = 0;
  slot(1).write(() => {
    made += 1;
    return RECORD;
  });
  records.flush();
  expect(open().recall(KEY).get(1)).toEqual(RECORD);
  await turn();
  expect(made).toBe(1);
});

test("a record that is removed before it was written is not written", async () => {
  const one = slot(1);
  one.write(() => RECORD);
  one.remove();
  await turn();
  expect(open().recall(KEY).size).toBe(0);
});

test("removing a daemon's records leaves those of a daemon whose name begins alike", () => {
  for (const instance of [1, 2]) slot(instance).write(() => RECORD);
  records.slot({ owner: OWNER, name: "blog2", instance: 1 }).write(() => RECORD);
  records.flush();
  records.removeAll("anna", "blog");
  expect([open().recall(KEY).size, open().daemons("anna")]).toEqual([0, ["blog2"]]);
});

test("a record that cannot be written is reported and not thrown", () => {
  rmSync(directory, { recursive: true });
  writeFileSync(directory, "in the way");
  slot(2).write(() => RECORD);
  records.flush();
  expect(problems).toEqual([expect.stringMatching(/^anna\/blog#2: cannot write its record: E/)]);
});

const { state, ...stateless } = RECORD;

test.each<[string, unknown, string]>([
  ["a null state", { ...RECORD, state: null }, "state"],
  ["no state", stateless, "state"],
  ["an unknown phase", { ...RECORD, state: { ...state, phase: "dancing" } }, "state"],
  ["an inherited name as phase", { ...RECORD, state: { ...state, phase: "constructor" } }, "state"],
  ["an exit of no known kind", { ...RECORD, state: { ...state, last: { run: 1, exit: {}, failed: true } } }, "state"],
  ["pid 1 as main process", { ...RECORD, run: { ...RECORD.run, leader: { pid: 1, startTime: 0 } } }, "run"],
  ["a negative pid", { ...RECORD, run: { ...RECORD.run, leader: { pid: -5, startTime: 0 } } }, "run"],
  ["a relative cgroup", { ...RECORD, run: { ...RECORD.run, cgroup: "anna" } }, "run"],
  ["a count of lines that is a text", { ...RECORD, log: { ...RECORD.log, dropped: "9" } }, "log"],
  ["an unknown role", { ...RECORD, role: "king" }, "role"],
  ["a size that is no count", { ...RECORD, size: 1.5 }, "size"],
  ["null", null, "state, fingerprint, conf, accounts, exited, scale, size, role, run, log"],
  ["a list", [], "state, fingerprint, conf, accounts, exited, scale, size, role, run, log"],
])("a record with %s is ignored and reported by its name", (_, value, wrong) => {
  states.write("anna", "blog", JSON.stringify(value));
  states.write("anna", "blog#2", JSON.stringify(RECORD));
  expect([...records.recall(KEY).keys()]).toEqual([2]);
  expect(problems).toEqual([`anna/blog: its record is ignored: wrong fields: ${wrong}`]);
});

test.each(["blog#0", "blog#-1", "blog#x", "blog#1", "blog#1.5", "blog#02"])(
  "a file named %s is no record of the daemon",
  (file) => {
    states.write("anna", file, JSON.stringify(RECORD));
    expect(records.recall(KEY).size).toBe(0);
  },
);

test.each<[string, (path: string) => void]>([
  ["cut off", (path) => writeFileSync(path, readFileSync(path, "utf8").slice(0, -5))],
  ["changed by hand", (path) => writeFileSync(path, readFileSync(path, "utf8").replace("4711", "4713"))],
  ["emptied", (path) => writeFileSync(path, "")],
  ["replaced by null", (path) => writeFileSync(path, "null")],
  [
    "written in another format",
    (path) => writeFileSync(path, readFileSync(path, "utf8").replace(/"format":\d+/, '"format":1')),
  ],
  ["replaced by a list", (path) => writeFileSync(path, "[]")],
  ["replaced by a list of the format", (path) => writeFileSync(path, '{"format":[5]}')],
  ["enlarged to 50 GB", (path) => truncateSync(path, 50e9)],
  [
    "replaced by a directory",
    (path) => {
      rmSync(path);
      mkdirSync(path);
    },
  ],
  [
    "replaced by a symlink to it",
    (path) => {
      renameSync(path, join(directory, "target"));
      symlinkSync(join(directory, "target"), path);
    },
  ],
  [
    "replaced by a FIFO",
    (path) => {
      rmSync(path);
      execFileSync("mkfifo", [path]);
    },
  ],
])("a record that was %s is reported by its name, its copy counts, and it is written again", (_, damage) => {
  slot(1).write(() => RECORD);
  records.flush();
  damage(join(directory, "anna/blog.json"));
  const target = existsSync(join(directory, "target")) && readFileSync(join(directory, "target"), "utf8");
  const next = open();
  expect(next.recall(KEY).get(1)).toEqual(RECORD);
  expect(problems).toEqual([
    expect.stringMatching(/^anna\/blog: its record (is damaged|has the format|cannot be read)/),
  ]);
  const kept = new Map(copies);
  copies.clear();
  expect([open().recall(KEY).size, records.daemons("anna")]).toEqual([0, ["blog"]]);
  copies = kept;
  problems = [];
  // The second one writes over what was in the place of the first.
  for (const size of [3, 4, 5]) {
    next.slot({ ...KEY, instance: 1 }).write(() => ({ ...RECORD, size }));
    next.flush();
    expect(states.read("anna", "blog", (problem) => void problems.push(problem))).toMatchObject({ size });
  }
  expect(problems).toEqual([]);
  if (target !== false) expect(readFileSync(join(directory, "target"), "utf8")).toBe(target);
});

test("a file in place of an owner's directory is replaced by the directory", () => {
  writeFileSync(join(directory, "anna"), "in the way");
  slot(2).write(() => RECORD);
  records.flush();
  copies.clear();
  expect([open().recall(KEY).get(2), problems]).toEqual([RECORD, []]);
});

test("a file that is larger than any record is not read", () => {
  slot(1).write(() => RECORD);
  records.flush();
  truncateSync(join(directory, "anna/blog.json"), 50e9);
  open().recall(KEY);
  expect(problems).toEqual(["anna/blog: its record cannot be read: it has 50000000000 bytes"]);
});

test("a record that was deleted is reported and known by its copy, also to those who look for records of any daemon", () => {
  slot(2).write(() => RECORD);
  records.flush();
  rmSync(join(directory, "anna"), { recursive: true });
  expect([open().owners(), open().daemons("anna"), open().recall(KEY).get(2)]).toEqual([["anna"], ["blog"], RECORD]);
  expect(problems).toEqual(["anna/blog#2: its record is missing or of another boot; a copy replaces it"]);
});

test.each<[string, () => unknown, string]>([
  ["of a newer release", () => ({ format: 999, value: RECORD }), "has the format 999 of another release, not 5"],
  ["of no release", () => ({}), "has the format undefined of another release, not 5"],
  ["of a wrong shape", () => ({ format: 5, value: { ...RECORD, state: null } }), "is ignored: wrong fields: state"],
])("a copy %s is reported, and the file counts", (_, spoil, problem) => {
  slot(1).write(() => RECORD);
  records.flush();
  copies.set("anna/blog", JSON.stringify(spoil()));
  expect(open().recall(KEY).get(1)).toEqual(RECORD);
  expect(problems).toEqual([`anna/blog: the copy of its record ${problem}`]);
});

test("a copy of an older release is read", () => {
  const { state: present, ...rest } = RECORD;
  const last = { run: 2, exit: { how: "launch", stage: "s", reason: "r" }, failed: true };
  copies.set("anna/blog", JSON.stringify({ format: 4, value: { ...rest, state: { ...present, last } } }));
  expect(open().recall(KEY).get(1)?.state.last?.exit.how).toBe("launch-failed");
});

test("a file is written after its copy, which is never older", () => {
  mkdirSync(join(directory, "anna"));
  let atCopy: unknown = "none";
  const eager = new RecordFiles(
    states,
    {
      read: () => undefined,
      names: () => [],
      write: () => {
        atCopy = states.read("anna", "blog", () => undefined);
      },
      remove: () => undefined,
    },
    () => undefined,
    () => undefined,
  );
  eager.slot({ ...KEY, instance: 1 }).write(() => RECORD);
  eager.flush();
  expect([atCopy, states.read("anna", "blog", () => undefined)]).toEqual([
    undefined,
    JSON.parse(JSON.stringify(RECORD)),
  ]);
});

test("everything has been written when that is reported", () => {
  slot(1).write(() => RECORD);
  expect(written).toBe(0);
  records.flush();
  expect([written, copies.size]).toEqual([1, 1]);
});

test("the names of all copies are read once, however many daemons there are", () => {
  for (let index = 0; index < 100; index += 1)
    records.slot({ owner: { ...OWNER, name: `o${index % 25}` }, name: `d${index}`, instance: 1 }).write(() => RECORD);
  records.flush();
  listed = 0;
  const next = open();
  for (const owner of next.owners())
    for (const name of next.daemons(owner)) next.recall({ owner: { ...OWNER, name: owner }, name });
  expect(listed).toBe(1);
});

test("a record that the next supervisor continues unchanged is not written again, until it changes", () => {
  slot(1).write(() => RECORD);
  records.flush();
  const write = vi.spyOn(states, "write");
  records = open();
  const recalled = records.recall(KEY).get(1);
  if (!recalled) throw new Error("there is no record");
  const next = slot(1);
  const copy = vi.spyOn(copies, "set");
  next.write(() => ({ ...recalled }));
  records.flush();
  expect([write.mock.calls.length, copy.mock.calls.length]).toEqual([0, 0]);
  next.write(() => ({ ...RECORD, size: 3 }));
  records.flush();
  next.write(() => recalled);
  records.flush();
  expect([write.mock.calls.length, copy.mock.calls.length]).toEqual([2, 2]);
});

test("a record whose file and copy differ is written again, even if it is that of the copy", () => {
  slot(1).write(() => RECORD);
  records.flush();
  copies.set("anna/blog", (copies.get("anna/blog") ?? "").replace('"size":2', '"size":5'));
  records = open();
  const recalled = records.recall(KEY).get(1);
  const write = vi.spyOn(states, "write");
  slot(1).write(() => recalled ?? RECORD);
  records.flush();
  expect([recalled?.size, write.mock.calls.length]).toEqual([5, 1]);
});
