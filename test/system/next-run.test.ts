/** The shim launches the next run of a daemon whose run ends by itself, so that nobody waits for the supervisor. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { argumentsOf, kill, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let page: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php echo getmypid();");
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  const ends = (name: string, how: string) =>
    `start = until [ -e ~/${name} ]; do sleep 0.02; done; rm ~/${name}; ${how}`;
  alice.writeConf("site", "start = exec php-cgi -q", "listen = fastcgi", "export PHP_FCGI_MAX_REQUESTS = 0");
  alice.writeConf("leaves", "start = exec php-cgi -q", "listen = fastcgi", "export PHP_FCGI_MAX_REQUESTS = 1");
  alice.writeConf("fails", ends("fails", "exit 3"));
  alice.writeConf("family", "start = sleep 1001 & exec sleep 1002");
  alice.writeConf("once", "start = exec sleep 1003", "max-retries = 0");
  alice.writeConf("plain", "start = exec sleep 1004");
  await supervisor.start();
  for (const name of NAMES) await supervisor.reaches(idOf(name), "running");
  // A run that is younger than 100 ms is not followed at once.
  await sleep(200);
});
afterAll(() => stage.remove());
afterEach(() => supervisor.signal("SIGCONT"));

const NAMES = ["site", "leaves", "fails", "family", "once", "plain"] as const;
const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const pidOf = async (name: string): Promise<number> => (await supervisor.status(idOf(name))).pid;
const sleepers = (seconds: number): number[] =>
  processesOf(alice.uid).filter((pid) => argumentsOf(pid).join(" ") === `sleep ${seconds}`);
/** What the log says of it. */
const linesOf = (name: string) =>
  supervisor
    .text()
    .split("\n")
    .filter((line) => line.includes(`"${idOf(name)}"`))
    .map((line) => JSON.parse(line) as { readonly event?: string; readonly reason?: string; readonly run?: number });
const exitsOf = (name: string) =>
  linesOf(name)
    .filter(({ event }) => event === "exited")
    .map(({ reason }) => reason);
/** The state of a daemon when the supervisor knows of its next run. */
const after = (name: string, former: number) => supervisor.reaches(idOf(name), "running", former);

test("a killed php-cgi is back while the supervisor is stopped, which takes the new one over", async () => {
  const former = await pidOf("site");
  supervisor.signal("SIGSTOP");
  kill(former);
  // While it ends it could accept the client.
  await until("its end", () => !existsSync(`/proc/${former}`));
  const served = Number(await askForPage(socketOf("site"), page));
  expect(served).not.toBe(former);
  supervisor.signal("SIGCONT");
  expect(await after("site", former)).toMatchObject({ pid: served, respawns: 1 });
  expect(exitsOf("site")).toEqual(["killed by SIGKILL"]);
  await supervisor.act("stop", idOf("site"));
  expect(processesOf(alice.uid)).not.toContain(served);
  await supervisor.up(idOf("site"));
});

test("php-cgi that leaves by itself is back at once, once more while the supervisor is stopped", async () => {
  supervisor.signal("SIGSTOP");
  const first = await askForPage(socketOf("leaves"), page);
  const second = await askForPage(socketOf("leaves"), page);
  expect(second).not.toBe(first);
  const third = askForPage(socketOf("leaves"), page);
  await sleep(300);
  supervisor.signal("SIGCONT");
  expect([first, second]).not.toContain(await third);
});

test("a run that fails, has other processes or must not be restarted is not followed by itself", async () => {
  const [family, once] = [await pidOf("family"), await pidOf("once")];
  const fails = await pidOf("fails");
  supervisor.signal("SIGSTOP");
  writeFileSync(join(alice.home, "fails"), "");
  kill(family);
  kill(once);
  await until("three ends", () => ![family, once, fails].some((pid) => existsSync(`/proc/${pid}`)));
  await sleep(100);
  expect([sleepers(1001).length, sleepers(1002).length, sleepers(1003).length]).toEqual([1, 0, 0]);
  supervisor.signal("SIGCONT");
  await after("family", family);
  expect([sleepers(1001).length, sleepers(1002).length]).toEqual([1, 1]);
  await after("fails", fails);
  expect(exitsOf("fails")).toEqual(["exited with code 3"]);
  await supervisor.reaches(idOf("once"), "failed");
});

test("a run that is stopped at the moment of its end is followed by none", async () => {
  for (let round = 0; round < 10; round += 1) {
    const pid = await pidOf("plain");
    await sleep(150);
    const stopped = supervisor.act("stop", idOf("plain"));
    await sleep(round / 5);
    kill(pid);
    expect(await stopped).toMatchObject({ ok: true });
    expect(sleepers(1004)).toEqual([]);
    await supervisor.up(idOf("plain"));
  }
});

test("the next supervisor takes over the run that followed without one, and knows how the former ended", async () => {
  const former = await pidOf("plain");
  await sleep(200);
  await supervisor.end("SIGKILL");
  kill(former);
  const [next = 0] = await until("the next run", () => {
    const found = sleepers(1004);
    return found.length > 0 && !found.includes(former) && found;
  });
  await supervisor.start();
  expect((await after("plain", former)).pid).toBe(next);
  expect(exitsOf("plain").at(-1)).toBe("killed by SIGKILL");
  expect(sleepers(1004)).toEqual([next]);
});

test("the cgroup of a run that followed by itself has the number of the run", async () => {
  const former = await pidOf("plain");
  // The run of an earlier supervisor is not followed before this one has launched or taken over one.
  await sleep(200);
  kill(former);
  const { pid } = await after("plain", former);
  const { run } = linesOf("plain").at(-1) ?? {};
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toMatch(new RegExp(`/plain\\.d/1-${run}$`, "m"));
});
