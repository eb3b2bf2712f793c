/** A supervisor without root's rights: its account is the only owner, and owns the policy. */

import { once } from "node:events";
import { chmodSync, chownSync, lstatSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Health } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { argumentsOf, numbersOf, processesOf, statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { addSupervisor, fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  const main = await addSupervisor(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  const own = { through: alice.become, program: [toolbox.node, main] as const, env: alice.environment };
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${bob.name}`, bob.name], own);
  for (const path of [supervisor.config, dirname(supervisor.config)]) chownSync(path, alice.uid, alice.gid);
  alice.writeConf("plain", "start = exec sleep 1000", "output = log");
  alice.writeConf("site", "start = exec php-cgi -q", "listen = fastcgi");
  alice.writeConf("away", "start = setsid sleep 1001 & exec sleep 1000", "autostart = no", "stop-timeout = 1s");
  alice.writeConf("lent", `user = ${bob.name}`, "start = exec sleep 1000", "max-retries = 0");
  bob.writeConf("theirs", "start = exec sleep 1000");
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;

test("a single-user supervisor runs only its own account's daemons, with NoNewPrivs", async () => {
  const { pid } = await supervisor.reaches(idOf("plain"), "running");
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(alice.uid));
  expect(statusOf(pid).get("NoNewPrivs")).toBe("1");
  const { daemons } = (await supervisor.ask("GET", "/v1/daemons")).body as { daemons: { owner: string }[] };
  expect(new Set(daemons.map(({ owner }) => owner))).toEqual(new Set([alice.name]));
  expect(processesOf(bob.uid)).toEqual([]);
});

test("a single-user supervisor publishes a socket that answers", async () => {
  const page = alice.write("page.php", "<?php echo 'from ', get_current_user();");
  const { socket } = await supervisor.reaches(idOf("site"), "running");
  expect(await askForPage(socket, page)).toBe(`from ${alice.name}`);
  expect([lstatSync(socket).uid, lstatSync(socket).mode & 0o777]).toEqual([alice.uid, 0o660]);
});

test("dmctl finds a single-user supervisor by the link in the home", async () => {
  const { code, stdout } = await alice.run([toolbox.node, toolbox.dmctl, "plain", "restart"]);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/plain running, pid \d+\n$/)]);
});

test("a single-user supervisor without cgroups says so, and a stop still ends a child that left the session", async () => {
  const { containment } = (await supervisor.ask("GET", "/v1/health")).body as Health;
  expect(containment).toMatch(/^sessions \(.+\)$/);
  const { pid } = await supervisor.up(idOf("away"));
  const child = (): number | undefined =>
    processesOf(alice.uid).find((each) => argumentsOf(each).slice(0, 2).join(" ") === "sleep 1001");
  await until("the daemon's child", child);
  expect((await supervisor.act("stop", idOf("away"))).ok).toBe(true);
  expect([processesOf(alice.uid).includes(pid), child()]).toEqual([false, undefined]);
});

test("a single-user supervisor forbids a daemon with another run-as account", async () => {
  const { state, reason } = await supervisor.status(idOf("lent"));
  const because = `this supervisor is not root and runs daemons only as ${alice.name}`;
  expect([state, reason]).toEqual(["forbidden", `it may not run as "${bob.name}": ${because}`]);
  expect((await supervisor.act("start", idOf("lent"))).ok).toBe(false);
});

test("a rescan by the account of a single-user supervisor puts a changed policy in force", async () => {
  const granted = () =>
    alice.run([toolbox.node, toolbox.dmctl, "explain", "--policy", alice.name, "host", "blog.example.org"]);
  expect((await granted()).code).toBe(1);
  const policy = readFileSync(supervisor.config, "utf8");
  writeFileSync(supervisor.config, `${policy}[hosts]\n${alice.name}: blog.example.org\n`);
  expect((await alice.run([toolbox.node, toolbox.dmctl, "rescan"])).code).toBe(0);
  expect((await granted()).code).toBe(0);
});

test("a single-user supervisor refuses a policy that others may write to", async () => {
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(processesOf(alice.uid)).toEqual([]);
  chmodSync(supervisor.config, 0o666);
  const [code] = (await once(supervisor.spawn(), "exit")) as [number];
  expect([code, supervisor.text()]).toEqual([
    1,
    expect.stringContaining("accounts other than its owner may write to the policy file (mode 0666)"),
  ]);
});
