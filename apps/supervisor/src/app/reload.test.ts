import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeEach, expect, test } from "vitest";
import { inForceOf, Scene, type World } from "../engine/scene.fake.ts";
import { fakeLog } from "./log.fake.ts";
import { Reload } from "./reload.ts";

let scene: Scene;
let lines: string[];
/** What the machine has and does now. */
let world: World;
let refusal: Error | undefined;
let problems: string[];
let onDisk: string | undefined;
let opened: (readonly string[])[];
let open: () => Promise<void>;
let reExecuted: number;
let reExec: () => void;
const accounts = { base: inForceOf().accounts };

const make = (): Reload => {
  const { log, lines: written } = fakeLog();
  lines = written;
  return new Reload({
    supervisor: scene.supervisor,
    accounts,
    control: {
      open: () => {
        opened.push(scene.supervisor.owners());
        return open();
      },
    },
    log,
    loadPolicy: () => {
      if (refusal) throw refusal;
      return { inForce: inForceOf(world), problems };
    },
    executing: "first",
    onDisk: () => onDisk,
    reExec: () => {
      reExecuted += 1;
      reExec();
    },
  });
};

beforeEach(() => {
  scene = new Scene();
  world = {};
  refusal = undefined;
  problems = [];
  onDisk = "first";
  opened = [];
  open = () => Promise.resolve();
  reExecuted = 0;
  reExec = () => undefined;
});

/** More turns of the event loop than a reload needs that waits for nothing. */
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await nextTurn();
};

const ALICE_ALONE: World = { runsAs: { alice: [] } };

test("a reload puts policy and accounts in force before it opens the control sockets", async () => {
  world = ALICE_ALONE;
  await make().everything();
  expect(opened).toEqual([["root", "alice"]]);
  expect(accounts.base).toEqual(inForceOf(ALICE_ALONE).accounts);
});

test("a reload reads the conf files of the owners of the new policy", async () => {
  scene = new Scene(ALICE_ALONE);
  scene.ports.confs.write("bob", "shop");
  await make().everything();
  expect(scene.daemon("bob/shop").id).toBe("bob/shop");
  expect(lines).toEqual(["info policy read again", "info conf files read again"]);
});

test("a reload logs the problems of the policy and of conf files as warnings", async () => {
  problems = ["policy.conf:3: no such account"];
  scene.ports.confs.put("alice", "blog", { errors: ["blog.conf:1: unknown key"], warnings: ["blog.conf:2: ignored"] });
  await make().everything();
  expect(lines).toEqual([
    "info policy read again",
    "warn about the policy: policy.conf:3: no such account",
    "warn about a conf file: blog.conf:1: unknown key",
    "warn about a conf file: blog.conf:2: ignored",
    "info conf files read again",
  ]);
});

test("a refused policy leaves the one in force, reads no conf file and executes no other program", async () => {
  refusal = new Error("policy.conf:1: expected a section");
  onDisk = "second";
  scene.ports.confs.write("alice", "blog");
  await make().everything();
  expect(lines).toEqual([
    "error the policy file has errors; the policy in force stays: policy.conf:1: expected a section",
  ]);
  expect(scene.supervisor.owners()).toContain("bob");
  expect([scene.supervisor.daemons(), opened, reExecuted]).toEqual([[], [], 0]);
});

test("a reload of the policy alone rejects with the reason of the refusal, and resolves with problems otherwise", async () => {
  const reload = make();
  problems = ["policy.conf:3: no such account"];
  expect(await reload.policy()).toEqual(problems);
  refusal = new Error("policy.conf:1: expected a section");
  await expect(reload.policy()).rejects.toThrow("policy.conf:1: expected a section");
});

test.each([
  ["the same program", "first"],
  ["no program", undefined],
])("a reload does not re-execute where %s is on disk", async (_, edition) => {
  onDisk = edition;
  await make().everything();
  expect(reExecuted).toBe(0);
});

test("a reload re-executes another program on disk, after everything is read", async () => {
  onDisk = "second";
  await make().everything();
  expect(reExecuted).toBe(1);
  expect(lines.slice(-2)).toEqual(["info conf files read again", "info re-executing: program on disk changed"]);
});

test("a failed re-exec is logged, and is tried at the next reload", async () => {
  onDisk = "second";
  reExec = () => {
    throw new Error("execve: ENOENT");
  };
  const reload = make();
  await reload.everything();
  expect(lines.at(-1)).toBe("error cannot re-execute; this program continues: execve: ENOENT");
  await reload.everything();
  expect(reExecuted).toBe(2);
});

test("control sockets that cannot be opened are a problem that leaves the new policy in force", async () => {
  world = ALICE_ALONE;
  open = () => Promise.reject(new Error("listen EMFILE"));
  const reload = make();
  const problem = "cannot open the control sockets of the policy in force: listen EMFILE; reload again";
  expect(await reload.policy()).toEqual([problem]);
  await reload.everything();
  expect(lines).toContain(`warn about the policy: ${problem}`);
  expect(lines.at(-1)).toBe("info conf files read again");
});

test("a reload waits for the end of the one before", async () => {
  const ends: (() => void)[] = [];
  open = () => new Promise((resolve) => ends.push(resolve));
  const reload = make();
  const both = [reload.policy(), reload.everything()];
  await turns();
  expect(opened.length).toBe(1);
  ends[0]?.();
  await turns();
  expect(opened.length).toBe(2);
  ends[1]?.();
  await Promise.all(both);
});

test("reloads that are requested while one is carried out are one, which begins after it", async () => {
  const ends: (() => void)[] = [];
  open = () => new Promise((resolve) => ends.push(resolve));
  const reload = make();
  const all = [reload.everything()];
  await turns();
  for (let more = 0; more < 500; more += 1) all.push(reload.everything());
  world = ALICE_ALONE;
  ends[0]?.();
  await turns();
  ends[1]?.();
  await Promise.all(all);
  expect(opened).toEqual([
    ["root", "alice", "bob"],
    ["root", "alice"],
  ]);
});

test("reloads that are requested one after the other in one turn of the event loop are one", async () => {
  const reload = make();
  const all: Promise<void>[] = [];
  for (let more = 0; more < 500; more += 1) {
    all.push(reload.everything());
    // Everything that needs no other turn happens before the next signal.
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }
  await Promise.all(all);
  expect(opened.length).toBe(1);
});

test("a reload after a refused one is carried out", async () => {
  const reload = make();
  refusal = new Error("policy.conf:1: expected a section");
  const first = reload.policy();
  const second = reload.everything();
  await expect(first).rejects.toThrow("expected a section");
  await second;
  refusal = undefined;
  await reload.everything();
  expect(lines.at(-1)).toBe("info conf files read again");
});

test("a supervisor that is stopping opens no control sockets and executes no other program", async () => {
  onDisk = "second";
  const reload = make();
  await scene.after(
    1000,
    scene.supervisor.shutdown().then(() => ({ ok: true })),
  );
  await reload.everything();
  expect([opened, reExecuted, lines]).toEqual([[], 0, []]);
});

test("a shutdown during a reload prevents the re-exec", async () => {
  onDisk = "second";
  open = () => scene.supervisor.shutdown();
  await make().everything();
  expect(reExecuted).toBe(0);
});
