/**
 * kept-records/format-N has what a supervisor wrote in format N: each line is the file of one record, in every format of the
 * same one. Format 4 is that of release 0.1.0.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Exit } from "../../core/exit.ts";
import { initial, type State } from "../../core/lifecycle.ts";
import type { InstanceRecord } from "../../engine/ports/records.ts";
import { processEpoch } from "../kernel/process-table.ts";
import { isInstanceRecord } from "./instance-record.ts";
import { RecordFiles } from "./record-files.ts";
import { FORMAT } from "./record-format.ts";
import { StateFiles } from "./state-file.ts";

const KEPT = join(import.meta.dirname, "kept-records");

/** All properties, at any depth: one that is added and is missing below does not compile. */
type Complete<T> = T extends object ? { readonly [Name in keyof T]-?: Complete<Exclude<T[Name], undefined>> } : T;

const STATE: Complete<State> = {
  phase: "stopping",
  want: "up",
  run: 2,
  deadline: 12.5,
  block: { kind: "forbidden", reason: "not granted", bans: "owner" },
  startedAt: 765391.354,
  wantedAt: 765390.1,
  failures: 1,
  respawns: 3,
  stopRequested: true,
  once: true,
  paused: true,
  killed: true,
  draining: true,
  goingToSleep: true,
  throttled: true,
  last: { run: 1, exit: { how: "code", code: 100, cause: "out-of-memory" }, failed: true, permanent: true },
};

/** Without the fields that the first files of this format did not have. */
const FULL: Omit<Complete<InstanceRecord>, "conf" | "accounts" | "exited" | "run"> & Pick<InstanceRecord, "run"> = {
  state: STATE,
  fingerprint: "VcEcjrhM2cXCnB2f/NlKCKlnr8WDC+KgobSTdm5XRNE=",
  scale: 3,
  size: 2,
  role: "candidate",
  run: {
    leader: { pid: 20445, startTime: 76546 },
    cgroup: "/sys/fs/cgroup/dmhost-run-dmhost/alice/blog.d/1.1",
    socketFile: 1794609,
  },
  log: {
    logger: { pid: 20444, startTime: 76540 },
    signature: "6m4k7tFj+E1QJCInoD5NpeZqQUE+w98z7BdV24jUay8=",
    dropped: 7,
  },
};

const EXITS: { readonly [How in Exit["how"]]: Complete<Extract<Exit, { how: How }>> } = {
  code: { how: "code", code: 100, cause: "out-of-memory" },
  signal: { how: "signal", signal: "SIGKILL", cause: "stop-timeout" },
  "out-of-memory": { how: "out-of-memory", limit: 64, peak: 63 },
  "too-many-files": { how: "too-many-files", held: "more than 64 files" },
  "launch-failed": { how: "launch-failed", stage: "entering /srv/x", reason: "no such directory" },
  "not-ready": { how: "not-ready", after: 30_000 },
  unknown: { how: "unknown" },
};

const plain = (state: Partial<State>): InstanceRecord => ({
  state: { ...initial, ...state },
  fingerprint: "",
  scale: undefined,
  size: 1,
  role: "active",
  run: undefined,
  log: { dropped: 0, logger: undefined, signature: undefined },
});

const RECORDS: readonly InstanceRecord[] = [
  FULL,
  plain({}),
  { ...plain({ phase: "coolingdown", want: "up", throttled: true }), role: "retiring" },
  ...Object.values(EXITS).map((exit) => plain({ phase: "failed", want: "up", last: { run: 1, exit, failed: true } })),
];

let directory: string;
let states: StateFiles;
const file = (): string => join(directory, "anna", "blog.json");

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "formats-"));
  mkdirSync(join(directory, "anna"));
  states = new StateFiles(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The files that are kept of a format, as if they had been written in this boot. */
const kept = (format: number): string[] =>
  readFileSync(join(KEPT, `format-${format}`), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.replace('"EPOCH"', JSON.stringify(processEpoch())));

const FORMATS = readdirSync(KEPT).map((name) => Number(name.slice("format-".length)));

test.each(FORMATS)("records that were written in format %i are read as they were meant", (format) => {
  const problems: string[] = [];
  const copies = { read: () => undefined, names: () => [], write: () => undefined, remove: () => undefined };
  const records = new RecordFiles(
    states,
    copies,
    () => undefined,
    (_, problem) => problems.push(problem),
  );
  const key = { owner: { name: "anna" }, name: "blog" };
  const read = kept(format).map((text) => {
    expect(JSON.parse(text)).toMatchObject({ format });
    writeFileSync(file(), text);
    return records.recall(key).get(1);
  });
  expect(problems).toEqual([]);
  expect(read).toEqual(RECORDS);
});

test("the files that are kept of the present format are what is written today", () => {
  expect(Math.max(...FORMATS)).toBe(FORMAT);
  const written = RECORDS.map((record) => {
    states.write("anna", "blog", JSON.stringify(record));
    return readFileSync(file(), "utf8");
  });
  expect(written).toEqual(kept(FORMAT));
});

test("a record with the fields that may be missing is read as it was written", () => {
  const accounts = [
    { name: "anna", uid: 1001 },
    { name: "www", uid: 33 },
  ];
  const record: InstanceRecord = { ...FULL, conf: "start = exec php-cgi\n", accounts, exited: true };
  states.write("anna", "blog", JSON.stringify(record));
  const value: unknown = states.read("anna", "blog", () => expect.unreachable());
  expect(isInstanceRecord(value) && value).toEqual(record);
  expect(isInstanceRecord({ ...record, accounts: [{ name: "anna" }] })).toBe(false);
});
