/** The broker under its own account, as native mode runs it, with a real engine: nothing of the supervisor's or of tenants is legible for all. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "../system/account.ts";
import { BrokerTree } from "../system/broker-tree.ts";
import { numbersOf, processesOf, statusOf } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { fillToolbox } from "../system/toolbox.ts";
import { CHECKOUT, succeed } from "./appliance.ts";
import { addBroker } from "./broker-bundle.ts";

const HOST = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
const IMAGE = `dmhost-account-test-${process.pid}`;

let stage: Stage;
let alice: Account;
let account: Account;
let supervisor: Supervisor;
let tree: BrokerTree;
let engine: string;
/** Ids of the images that were made. */
const images: string[] = [];

const docker = (...args: string[]) => succeed({ ...process.env, DOCKER_HOST: HOST }, "docker", ...args);
const containers = async (): Promise<string[]> => {
  const text = await docker("ps", "--all", "--quiet", "--filter", `name=dmhost-${alice.name}-`);
  return text.split("\n").filter((line) => line !== "");
};

/** Imports an image whose command is the shim that each container has: it needs no other program. */
const makeImage = async (tag: string, text: string): Promise<void> => {
  const root = join(stage.directory, "image");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/text"), text);
  const tar = join(stage.directory, "image.tar");
  await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
  images.push(await docker("import", "--change", 'CMD ["/dmhost-shim","/tmp/shim.sock"]', tar, `${IMAGE}:${tag}`));
};

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  account = await stage.account("broker");
  const { directory } = stage;
  const socket = HOST.replace(/^unix:\/\//, "");
  // The engine of the tests has its socket in a directory that only root enters.
  engine = join(directory, "engine.sock");
  writeFileSync(engine, "");
  await succeed(process.env, "mount", "--bind", socket, engine);
  const programs = join(directory, "programs");
  await fillToolbox(programs);
  await addBroker(programs);
  copyFileSync(join(CHECKOUT, "shim/dmhost-shim"), join(programs, "dmhost-shim"));
  chmodSync(join(programs, "dmhost-shim"), 0o755);
  await makeImage("1", "first");
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}:`, "[images]", `${alice.name}: ${IMAGE}:*`], {
    flags: ["--broker", join(directory, "main/run/broker/broker.sock")],
  });
  const { runDir, config } = supervisor;
  for (const path of [config, alice.home]) chmodSync(path, path === config ? 0o600 : 0o700);
  alice.writeConf("box", `image = ${IMAGE}:1`);
  chmodSync(join(alice.home, ".daemon-manager/daemons/box.conf"), 0o600);
  tree = new BrokerTree({ directory, account: account.name, runDir, engine, policy: config });
  await tree.start();
  await until("the broker", () => tree.log.includes('"msg":"ready"'));
  await supervisor.start();
});
afterAll(async () => {
  await supervisor?.end("SIGTERM");
  for (const id of await containers()) await docker("rm", "--force", id);
  await tree?.remove();
  for (const id of images) await docker("rmi", "--force", id.trim());
  await succeed(process.env, "umount", engine);
  await stage?.remove();
});

test("a daemon with an image runs as its owner, of files that only the owner, the supervisor and the engine can read", async () => {
  await supervisor.rescan();
  const { pid } = await supervisor.up(`${alice.name}/box`);
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(alice.uid));
  expect(await containers()).toHaveLength(1);
});

test("the broker that made it is not root and has no more than its two capabilities", () => {
  const [broker = 0] = processesOf(account.uid);
  expect(numbersOf(broker, "Uid")).toEqual(Array(4).fill(account.uid));
  expect(processesOf(account.uid)).toHaveLength(1);
  for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(statusOf(broker).get(set)).toBe("00000000000000c0");
});

test("a restart gets another container, and the former one is removed", async () => {
  const before = await containers();
  expect(await supervisor.act("restart", `${alice.name}/box`)).toMatchObject({ ok: true });
  const after = await until("one container", async () => {
    const now = await containers();
    return now.length === 1 && now;
  });
  expect(after).not.toEqual(before);
});

test("a moved tag is refused by the state that the broker keeps in its own directory", async () => {
  await makeImage("1", "second");
  expect(await supervisor.act("restart", `${alice.name}/box`)).toMatchObject({
    ok: false,
    reason: expect.stringContaining("at its first use"),
  });
});

test("the end of the supervisor leaves no container, also no ended one", async () => {
  await supervisor.end("SIGTERM");
  await until("no container", async () => (await containers()).length === 0);
});
