/** Accounts that exchange uids while the supervisor runs: rights follow the current uid. */
import { lstatSync } from "node:fs";
import type { DaemonList } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Account } from "./account.ts";
import { isRunning, numbersOf } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  alice.writeConf("hers", "start = exec sleep 1000");
  bob.writeConf("his", "start = exec sleep 1000");
  await supervisor.start();
});
afterAll(() => stage.remove());

const socketOf = ({ name }: Account): string => `${supervisor.runDir}/users/${name}/command.sock`;
const listed = async (account: Account, socket = supervisor.socket): Promise<string> => {
  const { stdout, stderr } = await account.run([toolbox.node, toolbox.dmctl, "list"], {
    env: { DMCTL_SOCKET: socket },
  });
  return stdout || stderr;
};
const ids = async (): Promise<string[]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons.map(({ id }) => id);

test("after two accounts exchange uids, root's rescan ends their daemons and gives sockets and daemons the new uids", async () => {
  const hers = `${alice.name}/hers`;
  const his = `${bob.name}/his`;
  const former = [await supervisor.reaches(hers, "running"), await supervisor.reaches(his, "running")];
  [alice, bob] = await Account.exchange(alice, bob);

  const { problems } = await supervisor.rescan();
  // The homes still belong to the former uids.
  expect(problems.join("\n")).toContain(alice.home);
  await until("both daemons to be unloaded", async () => (await ids()).length === 0);
  expect(former.map(({ pid }) => isRunning(pid))).toEqual([false, false]);
  for (const account of [alice, bob]) {
    const { uid, gid, mode } = lstatSync(socketOf(account));
    expect([uid, gid, mode & 0o777]).toEqual([account.uid, account.gid, 0o600]);
  }

  for (const account of [alice, bob]) await succeed("chown", "-R", `${account.uid}:${account.gid}`, account.home);
  await supervisor.rescan();
  const [mine, yours] = [await supervisor.reaches(hers, "running"), await supervisor.reaches(his, "running")];
  expect([numbersOf(mine.pid, "Uid")[0], numbersOf(yours.pid, "Uid")[0]]).toEqual([alice.uid, bob.uid]);
  expect([await listed(alice), await listed(bob)]).toEqual([`${hers}\n`, `${his}\n`]);
  expect(await listed(alice, socketOf(alice))).toBe(`${hers}\n`);
  expect(await listed(alice, socketOf(bob))).toContain("permission denied");
});
