/** The truth about processes comes from the shim: whatever happens to the records of daemons costs nothing. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Shim } from "../../apps/supervisor/src/os/shim/shim.ts";
import { VERSIONS } from "../../apps/supervisor/src/os/shim/wire.ts";
import { type Account, nameFor } from "./account.ts";
import { askLine, lineServer } from "./line-server.ts";
import { linesIn, loggerOf } from "./log-directory.ts";
import { isRunning, processesOf, statusOf } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Act, Supervisor } from "./supervisor.ts";

const NAMES = ["web", "sleeper", "plain", "stopped", "paused", "once", "logged"] as const;
type Name = (typeof NAMES)[number];

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  const serve = lineServer(alice)("3");
  alice.writeConf("web", serve, "listen = http");
  alice.writeConf("sleeper", serve, "listen = http", "ondemand = yes", "idle-timeout = 1h");
  for (const name of ["plain", "stopped", "paused", "once"]) alice.writeConf(name, "start = exec sleep 1000");
  alice.writeConf("logged", "start = echo begun; exec sleep 1000", "output = log");
  await supervisor.start();
  for (const name of NAMES) await supervisor.reaches(idOf(name), name === "sleeper" ? "asleep" : "running");
  await act("stop", "stopped");
  await act("pause", "paused");
  await act("stop", "once");
  await act("once", "once");
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: Name): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const logs = (): string => `${alice.home}/.daemon-manager/logs/logged`;
const records = (): string => join(supervisor.stateDir, "daemons", alice.name);
const act = async (verb: Act, name: Name): Promise<void> => {
  const { ok, reason } = await supervisor.act(verb, idOf(name));
  if (!ok) throw new Error(`${verb} ${name}: ${reason}`);
};
const pidOf = async (name: Name): Promise<number> => (await supervisor.status(idOf(name))).pid;
const isHeldByStop = (pid: number): boolean => statusOf(pid).get("State")?.startsWith("T") ?? false;
const processes = (): number[] => processesOf(alice.uid).sort((a, b) => a - b);

/** What damage must not change. Each daemon's process appears once among the account's processes. */
const facts = async () => ({
  daemons: await Promise.all(
    NAMES.map(async (name) => {
      const { state, desiredState, pid, respawns } = await supervisor.status(idOf(name));
      return { name, state, desiredState, pid, respawns };
    }),
  ),
  starts: supervisor.log().filter(({ msg, event }) => msg === "starting" && event !== "launched").length,
  processes: processes(),
  logger: loggerOf(alice.uid, logs()),
  sockets: ([`web`, "sleeper"] as const).map((name) => lstatSync(socketOf(name)).ino),
});

/** A start after a stop, and what else a daemon of each kind must be able to do. It leaves everything as it was before. */
const use = async (): Promise<void> => {
  const before = await Promise.all([pidOf("web"), pidOf("plain"), pidOf("logged")]);
  const logged = linesIn(logs()).length;
  const cycle = async (name: Name, ...verbs: Act[]): Promise<void> => {
    for (const verb of verbs) await act(verb, name);
  };
  const wake = async (): Promise<void> => {
    await askLine(socketOf("sleeper"));
    await supervisor.reaches(idOf("sleeper"), "running");
    await cycle("sleeper", "stop", "start");
  };
  await Promise.all([
    ...(["web", "plain", "logged"] as const).map((name) => cycle(name, "stop", "start")),
    cycle("stopped", "start", "stop"),
    cycle("paused", "continue", "stop", "start", "pause"),
    cycle("once", "stop", "once"),
    wake(),
  ]);
  const after = await Promise.all([pidOf("web"), pidOf("plain"), pidOf("logged")]);
  for (const [index, pid] of after.entries()) expect(pid).not.toBe(before[index]);
  expect((await askLine(socketOf("web"))).pid).toBe(after[0]);
  await until("the output of the next run in the log", () => linesIn(logs()).length === logged + 1);
};

/** Lines of the log since `known` that are about records. */
const reports = (known: number): [string | undefined, string | undefined][] =>
  supervisor
    .log()
    .slice(known)
    .filter(({ reason }) => reason?.includes(" record "))
    .map(({ daemon, reason }) => [daemon, reason]);

interface Stored {
  readonly format: number;
  readonly value: { readonly [name: string]: unknown; readonly state: Readonly<Record<string, unknown>> };
}

/** The record with another value, and a digest that fits it. */
const withValue = (file: string, change: (value: Stored["value"]) => unknown, format?: number): string => {
  const record = JSON.parse(readFileSync(file, "utf8")) as Stored;
  const value = change(record.value);
  const digest = createHash("sha256").update(JSON.stringify(value)).digest("base64");
  return JSON.stringify({ ...record, ...(format !== undefined && { format }), value, digest });
};

/** As release 0.1.0 wrote it. */
const inFormat4 = ({ state, run, log, role: _, ...rest }: Stored["value"]): unknown => {
  const { stopRequested, draining, goingToSleep, ...others } = state;
  const { socketFile, ...process } = (run ?? {}) as Readonly<Record<string, unknown>>;
  const { signature, ...logger } = (log ?? {}) as Readonly<Record<string, unknown>>;
  return {
    ...rest,
    state: { ...others, asked: stopRequested, easing: draining, dozing: goingToSleep },
    role: "lasting",
    traces: { ...process, socket: socketFile, ...logger, loggerSignature: signature },
  };
};

/** Replaces the value of a record. */
const revalue =
  (change: (value: Stored["value"]) => unknown, format?: number) =>
  (file: string): void =>
    writeFileSync(file, withValue(file, change, format));

const flip = (file: string, at: (length: number) => number): void => {
  const bytes = readFileSync(file);
  const index = at(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(index) ^ 0x04, index);
  writeFileSync(file, bytes);
};

test.each<[string, (file: string) => void, RegExp | undefined]>([
  ["truncated", (file) => truncateSync(file, 80), /is damaged: it is no JSON/],
  ["changed by a bit of its value", (file) => flip(file, (length) => length - 5), /is damaged/],
  ["changed by a bit of its format", (file) => flip(file, () => 10), /has the format 1 of another/],
  ["changed by a bit of its epoch", (file) => flip(file, () => 25), /is missing or of another boot/],
  ["emptied", (file) => truncateSync(file, 0), /is damaged: it is no JSON/],
  ["deleted", (file) => rmSync(file), /is missing or of another boot/],
  [
    "replaced by a directory",
    (file) => {
      rmSync(file);
      mkdirSync(join(file, "inside"), { recursive: true });
    },
    /cannot be read: it is not a plain file/,
  ],
  ["of a newer format", revalue(() => ({}), 999), /has the format 999 of another/],
  ["of an older format", revalue(inFormat4, 4), undefined],
  ["without a state", revalue(() => ({ state: null })), /wrong fields: state/],
  ["a bare state", (file) => writeFileSync(file, '{"state":null}'), /has the format undefined of another release/],
  ["a list", (file) => writeFileSync(file, "[]"), /has the format undefined of another release/],
  ["null", (file) => writeFileSync(file, "null"), /has the format undefined of another release/],
  [
    "full of wrong types",
    revalue(({ state }) => ({ state: { ...state, phase: 7 }, size: "1", run: [], log: 0, role: {} })),
    /wrong fields: state, fingerprint, size, role, run, log/,
  ],
  [
    "replaced by a symlink",
    (file) => {
      renameSync(file, `${file}.target`);
      symlinkSync(`${file}.target`, file);
    },
    /cannot be read: ELOOP/,
  ],
  ["enlarged to 50 GB", (file) => truncateSync(file, 50e9), /cannot be read: it has 50000000000 bytes/],
  // Root reads it.
  ["without permissions", (file) => chmodSync(file, 0), undefined],
])("a record that is %s costs nothing", async (_, damage, problem) => {
  await afterDamage((name) => damage(join(records(), `${name}.json`)), problem);
});

test("a record that is replaced by a FIFO costs nothing", async () => {
  for (const name of NAMES) await succeed("mkfifo", `${records()}/${name}.fifo`);
  await afterDamage(
    (name) => renameSync(`${records()}/${name}.fifo`, `${records()}/${name}.json`),
    /cannot be read: it is not a plain file/,
  );
});

test("a directory of records that is replaced by a file costs nothing", async () => {
  await afterDamage((name) => {
    if (name !== NAMES[0]) return;
    rmSync(records(), { recursive: true });
    writeFileSync(records(), "");
  }, /is missing or of another boot|cannot be read/);
});

const fail = (error: unknown): void => {
  throw error;
};
/** Removes the copies of the records, as those of a shim that never had any. */
const removeCopies = (): void => {
  const shim = new Shim(join(supervisor.runDir, "shim.sock"), VERSIONS, 10_000);
  for (const { kind, name } of shim.list()) if (kind === "note") shim.note(name, "", fail);
  shim.close();
};

test("records of an older format without copies cost nothing", async () => {
  await afterDamage((name) => {
    if (name === NAMES[0]) removeCopies();
    revalue(inFormat4, 4)(join(records(), `${name}.json`));
  }, undefined);
});

test("without any record, what runs goes on: nothing runs twice, sockets are kept, and one logger follows the other", async () => {
  const before = await facts();
  await supervisor.end("SIGKILL");
  removeCopies();
  rmSync(records(), { recursive: true });
  await supervisor.start();
  const { pid } = await supervisor.reaches(idOf("stopped"), "running");
  const after = await facts();
  const pids = ({ daemons }: typeof before) => daemons.map((each) => (each.name === "stopped" ? 0 : each.pid));
  expect(pids(after)).toEqual(pids(before));
  expect([after.sockets, after.starts]).toEqual([before.sockets, before.starts + 1]);
  await until("the former logger to end", () => !isRunning(before.logger ?? 0));
  const former = before.processes.filter((each) => each !== before.logger);
  const expected = [...former, pid, loggerOf(alice.uid, logs()) ?? 0].sort((a, b) => a - b);
  expect(processes()).toEqual(expected);
  await use();
});

test("after a downgrade what was stopped stays stopped, what was scaled stays scaled, and what runs goes on", async () => {
  await act("stop", "stopped");
  await supervisor.scale(idOf("web"), 2);
  const before = await facts();
  await supervisor.end("SIGKILL");
  const shim = new Shim(join(supervisor.runDir, "shim.sock"), VERSIONS, 10_000);
  for (const each of shim.list()) {
    if (each.kind !== "note") continue;
    const { desired } = JSON.parse(each.bytes.toString("utf8")) as { readonly desired: unknown };
    shim.note(each.name, JSON.stringify({ format: 999, desired, value: {} }), fail);
  }
  shim.close();
  for (const name of [...NAMES, "web#2"]) revalue(() => ({}), 999)(join(records(), `${name}.json`));
  const known = supervisor.log().length;
  await supervisor.start();
  const after = await facts();
  expect((await supervisor.status(idOf("stopped"))).state).toBe("stopped");
  expect(after.daemons.map(({ pid }) => pid)).toEqual(before.daemons.map(({ pid }) => pid));
  expect([after.sockets, after.starts]).toEqual([before.sockets, before.starts]);
  const runs = ({ processes: all, logger }: typeof before) => all.filter((pid) => pid !== logger);
  expect(runs(after)).toEqual(runs(before));
  const named = new Set(
    reports(known).map(([daemon, reason]) => [daemon, reason?.match(/format 999 .* count$/)?.length].join(" ")),
  );
  expect([...named].sort()).toEqual([...NAMES, "web#2"].map((name) => `${idOf(name)} 1`).sort());
});

/** Damages all records while no supervisor runs, and expects that the next one continues. */
const afterDamage = async (damage: (name: Name) => void, problem: RegExp | undefined): Promise<void> => {
  const before = await facts();
  const log = linesIn(logs());
  await supervisor.end("SIGKILL");
  for (const name of NAMES) damage(name);
  const known = supervisor.log().length;
  await supervisor.start();
  expect(await facts()).toEqual(before);
  expect(await askLine(socketOf("web"))).toMatchObject({ pid: before.daemons[0]?.pid });
  expect(isHeldByStop(await pidOf("paused"))).toBe(true);
  expect(linesIn(logs())).toEqual(log);
  const named = reports(known);
  expect(named.map(([daemon]) => daemon).sort()).toEqual(problem ? NAMES.map(idOf).sort() : []);
  for (const [, reason] of named) expect(reason).toMatch(problem ?? "");
  await use();
};
