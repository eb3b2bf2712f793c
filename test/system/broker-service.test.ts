/** The service `broker` of native mode: what its script makes of a program before it is the broker. */
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { BrokerTree } from "./broker-tree.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
let account: Account;
let group: number;
let engine: string;
let server: Server;
let tree: BrokerTree;

/** In place of Node: writes what it is and how it was called. */
const PROGRAM = `#!/bin/sh
grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/$$/status
printf '%s\\n' "$@" end
exec sleep 1000
`;

beforeAll(async () => {
  stage = await Stage.make();
  account = await stage.account("broker");
  group = await stage.group("engine");
  const { directory } = stage;
  engine = join(directory, "engine.sock");
  server = createServer();
  await new Promise<void>((resolve) => server.listen(engine, resolve));
  chownSync(engine, 0, group);
  chmodSync(engine, 0o660);
  mkdirSync(join(directory, "programs"));
  writeFileSync(join(directory, "programs/node"), PROGRAM, { mode: 0o755 });
  tree = new BrokerTree({
    directory,
    account: account.name,
    runDir: join(directory, "run"),
    engine,
    policy: "/etc/policy",
  });
});
afterAll(async () => {
  await tree?.remove();
  server?.close();
  await stage?.remove();
});

test("the broker has its own account, the group of the engine's socket and two capabilities, and its directories are its own", async () => {
  await tree.start();
  await until("its start", () => tree.log.includes("\nend\n"));
  const { uid, gid } = account;
  const ids = (id: number): string => Array(4).fill(id).join("\t");
  const sets = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => `Cap${set}:\t00000000000000c0`);
  const lines = tree.log.split("\n").map((line) => line.trimEnd());
  expect(lines.slice(0, 9)).toEqual([
    `Uid:\t${ids(uid)}`,
    `Gid:\t${ids(gid)}`,
    `Groups:\t${group}`,
    ...sets,
    "NoNewPrivs:\t1",
  ]);
  for (const path of ["state", "run/broker"]) {
    const { uid: owner, mode } = statSync(join(stage.directory, path));
    expect([path, owner, mode & 0o777]).toEqual([path, uid, 0o700]);
  }
  expect(statSync(join(stage.directory, "run"))).toMatchObject({ uid: 0, mode: 0o40755 });
});

test("the broker is called with the places of the installation", () => {
  const { directory } = stage;
  const words = tree.log.split("\n");
  const flags = words.slice(words.indexOf(`${directory}/programs/broker.cjs`) + 1, words.indexOf("end"));
  expect(flags).toEqual([
    ...["--config", "/etc/policy"],
    ...["--state", `${directory}/state`],
    ...["--guests", `${directory}/run/guests`],
    ...["--shim", `${directory}/programs/dmhost-shim`],
    ...["--socket", `${directory}/run/broker/broker.sock`],
    ...["--engine", engine],
  ]);
});

test("a later `up` has containers and the same engine, unless it is called with --no-containers", async () => {
  const later = 'unset DMHOST_ENGINE; broker_paths; choose_containers; echo "$containers $broker_engine"';
  expect(await tree.run(later)).toBe(`yes ${engine}\n`);
  expect(await tree.run(`containers_requested=no; ${later}`)).toBe(`no ${engine}\n`);
});

test("a second `up` leaves a broker that has not changed alone, and notices another engine", async () => {
  const changes = 'write_broker /etc/policy; echo "$broker_changed"';
  expect(await tree.run(changes)).toBe("no\n");
  expect(await tree.run(`broker_engine=/run/other.sock; ${changes}`)).toBe("yes\n");
});

test("without containers neither service nor process is left", async () => {
  await tree.remove();
  expect(existsSync(join(stage.directory, "scripts/broker"))).toBe(false);
  expect(existsSync(join(stage.directory, "tree/broker"))).toBe(false);
  expect(await tree.run('choose_containers; echo "$containers"')).toBe("no\n");
});

test("a directory where accounts besides root may write is named, and none where they may not", async () => {
  const { directory } = stage;
  expect(await tree.run(`foreign_writer ${directory}/programs || echo none`)).toBe("none\n");
  expect(await tree.run(`foreign_writer ${account.home}/missing/part`)).toBe(`${account.home}\n`);
  const shared = join(directory, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o1775);
  expect(await tree.run(`foreign_writer ${shared}/programs`)).toBe(`${shared}\n`);
});

test.each([
  ["docker.sock", "expected the absolute path"],
  ["/run/a b.sock", "expected a path of letters"],
])("the engine %j is refused", async (path, reason) => {
  await expect(tree.run(`broker_engine='${path}' containers=yes; check_containers`)).rejects.toThrow(reason);
});
