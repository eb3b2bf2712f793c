/** The requests of the broker, with an engine in memory. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULTS, type Definition } from "../../../supervisor/src/core/definition.ts";
import { type ImageName, imageName } from "../../../supervisor/src/core/image.ts";
import { EngineFailure } from "../rules/engine.ts";
import { presentImage } from "../rules/parts.fake.ts";
import { ContainerRefusal } from "../rules/refusal.ts";
import type { ContainerAdmission } from "./admission.ts";
import { Broker } from "./broker.ts";
import { FakeContainerEngine } from "./engine.fake.ts";
import { BrokerState } from "./state-files.ts";

const PHP = "docker.io/library/php:8.4";
const uid = process.geteuid?.() ?? 0;
const named = (text: string): ImageName => {
  const name = imageName(text);
  if (name === undefined) throw new Error(text);
  return name;
};

let directory: string;
let engine: FakeContainerEngine;
let state: BrokerState;
let broker: Broker;
let definition: Definition;
let admission: ContainerAdmission;
let objection: string | undefined;
let warnings: string[];

const making = { id: 1, verb: "make", owner: "alice", name: "web", instance: 1, run: 7 } as const;
const make = (change: object = {}) => broker.make({ ...making, guest: "g1", token: "0123456789abcdef", ...change });
const refused = async (request: Promise<unknown>): Promise<string> => {
  const error = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ContainerRefusal ? `${error.code}: ${error.message}` : `no refusal: ${String(error)}`;
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-broker-"));
  mkdirSync(join(directory, "guests/g1"), { recursive: true });
  chmodSync(join(directory, "guests/g1"), 0o755);
  engine = new FakeContainerEngine();
  engine.images.set(
    PHP,
    presentImage({ entrypoint: ["docker-php"], arguments: ["-F"], environment: ["LD_X=1", "A=b"] }),
  );
  state = new BrokerState(join(directory));
  definition = { ...DEFAULTS, start: "", image: named(PHP) };
  // The home of a system account: its parents are root's.
  admission = {
    image: named(PHP),
    definition,
    account: { name: "alice", uid: 1001, gid: 1001, home: "/nonexistent/alice", shell: "/bin/sh" },
    groups: [1001, 1500],
    budget: {},
  };
  objection = undefined;
  warnings = [];
  broker = new Broker({
    engine,
    state,
    admissions: { of: () => admission, used: () => [{ image: named(PHP), daemon: "alice/web" }] },
    home: ({ home }) => ({ path: home, device: "1", inode: "2" }),
    check: () => objection,
    guests: join(directory, "guests"),
    shim: "/shim",
    peer: uid,
    warn: (_about, text) => void warnings.push(text),
  });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a container is recorded, started and described by its image", async () => {
  const made = await make();
  expect(made).toMatchObject({ command: ["docker-php", "-F"], environment: ["A=b"], directory: "/" });
  expect(made.home).toEqual({ path: "/nonexistent/alice", device: "1", inode: "2" });
  expect(new BrokerState(directory).containers.get(made.container)).toEqual({
    owner: "alice",
    name: "web",
    instance: 1,
    run: 7,
  });
  expect(engine.calls.slice(-2)).toEqual(["create", "start"]);
  expect((await broker.list()).containers).toMatchObject([{ container: made.container, run: 7, running: true }]);
});

test("a container that is not what was requested, or does not start, is removed with its record", async () => {
  objection = "it has the uid 0, not 1001";
  expect(await refused(make())).toContain("engine: the container is not what was requested: it has the uid 0");
  engine.failures.set("start", new EngineFailure("no such device", 500));
  expect(await refused(make())).toBe("engine: the Docker engine refuses: no such device");
  expect([engine.containers.size, state.containers.size]).toEqual([0, 0]);
});

test("a container whose record cannot be written is removed", async () => {
  await make();
  rmSync(directory, { recursive: true });
  mkdirSync(join(directory, "guests/g1"), { recursive: true });
  mkdirSync(join(directory, "containers.json"));
  chmodSync(join(directory, "guests/g1"), 0o755);
  await expect(make()).rejects.toThrow();
  expect(engine.containers.size).toBe(1);
  expect(warnings).toEqual(["a container cannot be recorded and is removed"]);
});

test("a guest that is no directory of the supervisor's is refused", async () => {
  expect(await refused(make({ guest: "g2" }))).toContain("cannot be looked at: ENOENT");
  writeFileSync(join(directory, "guests/g3"), "");
  expect(await refused(make({ guest: "g3" }))).toContain("invalid: ");
  mkdirSync(join(directory, "guests/g4"));
  chmodSync(join(directory, "guests/g4"), 0o777);
  expect(await refused(make({ guest: "g4" }))).toContain("only the supervisor may write to");
});

test("an image that is absent, says too much or has moved is refused", async () => {
  await make();
  engine.images.set(PHP, presentImage({ id: `sha256:${"2".repeat(64)}` }));
  expect(await refused(make())).toContain("moved: ");
  expect((await broker.images()).images).toMatchObject([{ image: PHP, moved: true, usedBy: ["alice/web"] }]);
  await broker.accept({ id: 1, verb: "accept", image: "php:8.4" });
  expect((await broker.images()).images).toMatchObject([{ moved: false }]);
  await make();
  engine.images.set(PHP, presentImage({ id: `sha256:${"2".repeat(64)}`, environment: [`A=${"x".repeat(65_536)}`] }));
  expect(await refused(make())).toContain("longer than");
  engine.images.clear();
  expect(await refused(make())).toContain("absent: ");
  expect(await refused(broker.accept({ id: 1, verb: "accept", image: PHP }))).toContain("absent: ");
  expect(await refused(broker.accept({ id: 1, verb: "accept", image: "UPPER" }))).toContain("invalid: ");
});

test("an engine that cannot run containers of tenants makes none, and hello has the reason", async () => {
  engine.said = { ...engine.said, securityOptions: ["name=rootless"] };
  expect(await refused(broker.hello({ id: 1, verb: "hello", version: 1 }))).toContain("engine: ");
  expect(await refused(make())).toContain("it is rootless");
  expect(engine.calls).not.toContain("create");
  engine.said = { ...engine.said, securityOptions: [], cgroupVersion: "1", cgroupDriver: "systemd" };
  expect(await broker.hello({ id: 1, verb: "hello", version: 1 })).toEqual({
    engine: "Docker 20.10.24",
    cgroupDriver: "systemd",
    cgroupVersion: 1,
  });
  expect(await refused(broker.hello({ id: 1, verb: "hello", version: 2 }))).toContain("invalid: version 2");
  engine.failures.set("facts", new EngineFailure("connect ENOENT /var/run/docker.sock", 0));
  expect(await refused(broker.hello({ id: 1, verb: "hello", version: 1 }))).toContain(
    "the Docker engine does not answer",
  );
});

test("only recorded containers with our label are removed, and one that is gone needs nothing", async () => {
  const { container } = await make();
  const foreign = engine.add({ "io.dmhost.broker": state.id });
  expect(await refused(broker.remove({ id: 1, verb: "remove", container: foreign }))).toContain("foreign: ");
  const other = engine.add({ "io.dmhost.broker": "other" });
  state.addContainer(other, { owner: "alice", name: "web", instance: 1, run: 1 });
  expect(await refused(broker.remove({ id: 1, verb: "remove", container: other }))).toContain("foreign: ");
  expect((await broker.list()).containers).toMatchObject([{ container }]);
  await broker.remove({ id: 1, verb: "remove", container });
  expect(engine.containers.has(container)).toBe(false);
  await broker.remove({ id: 1, verb: "remove", container });
  expect(state.containers.has(container)).toBe(false);
});

test("a container that is being made is neither swept nor listed", async () => {
  const making = make();
  let isMade = false;
  void making.then(() => {
    isMade = true;
  });
  for (let turn = 0; turn < 20; turn += 1) {
    await broker.sweep();
    const { containers } = await broker.list();
    expect(containers.every(({ running }) => running)).toBe(true);
    if (!isMade) expect(containers).toEqual([]);
  }
  expect(engine.containers.has((await making).container)).toBe(true);
  expect(engine.calls).not.toContain("remove");
});

test("the sweep removes containers of ours without a record or a start, and no other", async () => {
  const { container } = await make();
  engine.add({ "io.dmhost.broker": state.id, "io.dmhost.attempt": "gone" });
  const unstarted = engine.add({ "io.dmhost.broker": state.id, "io.dmhost.attempt": "gone" }, { running: false });
  state.addContainer(unstarted, { owner: "alice", name: "web", instance: 1, run: 1 });
  const ended = engine.add({ "io.dmhost.broker": state.id }, { running: false, exitCode: 1 });
  state.addContainer(ended, { owner: "alice", name: "web", instance: 1, run: 2 });
  const foreign = engine.add({ "io.dmhost.broker": "other" });
  await broker.sweep();
  expect([...engine.containers.keys()]).toEqual([container, ended, foreign]);
});

test("a pull brings what is absent, and fails with the registry's words", async () => {
  const pull = { id: 1, verb: "pull", owner: "alice", name: "web" } as const;
  const percentages: number[] = [];
  await broker.pull(pull, (percent) => percentages.push(percent));
  expect(engine.calls).not.toContain("pull");
  engine.images.clear();
  engine.pulled = presentImage();
  engine.percentages = [10, 20, 30];
  await broker.pull(pull, (percent) => percentages.push(percent));
  expect(percentages).toEqual([10]);
  engine.images.clear();
  engine.failures.set("pull", new EngineFailure("manifest unknown", 404));
  expect(await refused(broker.pull(pull, () => undefined))).toBe(`pull: ${PHP} cannot be fetched: manifest unknown`);
});
