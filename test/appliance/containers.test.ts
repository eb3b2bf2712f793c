/** Daemons as containers of a real engine: supervisor, shim, broker and engine together. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "../system/account.ts";
import { askForPage } from "../system/fastcgi-client.ts";
import { kill } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { succeed } from "./appliance.ts";
import { BrokerProcess } from "./broker-process.ts";
import { importPhpImage } from "./php-image.ts";

const HOST = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
const IMAGE = "dmhost-php-test";

let stage: Stage;
let alice: Account;
let page: string;
let supervisor: Supervisor;
let broker: BrokerProcess;

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const docker = (...args: string[]) => succeed({ ...process.env, DOCKER_HOST: HOST }, "docker", ...args);
/** Ids of the containers of a daemon that run. */
const containersOf = async (name: string): Promise<string[]> => {
  const text = await docker("ps", "--quiet", "--no-trunc", "--filter", `name=dmhost-${alice.name}-${name}-`);
  return text.split("\n").filter((line) => line !== "");
};
/** How the runs of a daemon have ended. */
const exitsOf = (name: string) =>
  supervisor
    .log()
    .filter(({ daemon, event }) => daemon === idOf(name) && event === "exited")
    .map(({ reason }) => reason);

const PHP = [`image = ${IMAGE}`, "start = exec php-cgi -q", "listen = fastcgi"];

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php usleep(1000 * ($_GET['ms'] ?? 0)); echo getmypid();");
  await importPhpImage(docker, `${IMAGE}:latest`, stage.directory, ["ENV GREETING=hello"]);
  supervisor = stage.supervisor(
    "main",
    [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name, "[images]", `${alice.name}: ${IMAGE}:*`],
    { flags: ["--broker", `${stage.directory}/main/run/broker.sock`] },
  );
  broker = new BrokerProcess({
    directory: supervisor.runDir,
    policy: supervisor.config,
    engine: HOST.replace(/^unix:\/\//, ""),
  });
  await supervisor.start();
  await broker.start();
});
afterAll(async () => {
  await supervisor?.end("SIGTERM");
  await broker?.kill();
  for (const id of (await docker("ps", "--all", "--quiet", "--filter", "name=dmhost-dmt-")).split("\n")) {
    if (id !== "") await docker("rm", "--force", id);
  }
  await docker("rmi", "--force", `${IMAGE}:latest`);
  await stage?.remove();
});

test("a site in a container answers at its published socket as its owner, and a killed process is back in the same container", async () => {
  alice.writeConf("site", ...PHP);
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("site"));
  expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\\t${alice.uid}\\t`, "m"));
  const inside = await askForPage(socketOf("site"), page);
  const containers = await containersOf("site");
  expect(containers).toHaveLength(1);
  kill(pid);
  await supervisor.reaches(idOf("site"), "running", pid);
  expect(await askForPage(socketOf("site"), page)).not.toBe(inside);
  expect(await containersOf("site")).toEqual(containers);
  expect(exitsOf("site")).toEqual(["killed by SIGKILL"]);
});

test("while it is restarted under load a site in a container loses no request, and the old container is removed", async () => {
  alice.writeConf("rolled", ...PHP);
  await supervisor.rescan();
  await supervisor.up(idOf("rolled"));
  const before = await containersOf("rolled");
  let isOver = false;
  let answers = 0;
  const clients = Array.from({ length: 2 }, async () => {
    while (!isOver) {
      expect(Number(await askForPage(socketOf("rolled"), page, "ms=20"))).toBeGreaterThan(1);
      answers += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  for (let round = 0; round < 3; round += 1)
    expect(await supervisor.act("restart", idOf("rolled"))).toMatchObject({ ok: true });
  isOver = true;
  await Promise.all(clients);
  expect(answers).toBeGreaterThan(0);
  const after = await until("one container", async () => {
    const now = await containersOf("rolled");
    return now.length === 1 && now;
  });
  expect(after).not.toEqual(before);
});

test("a container goes on while supervisor and broker are killed, and its site and its log with it", async () => {
  alice.writeConf("kept", ...PHP);
  const counting = "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.05; done";
  alice.writeConf("counter", `image = ${IMAGE}`, `start = ${counting}`, "output = log");
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("kept"));
  await supervisor.up(idOf("counter"));
  const inside = await askForPage(socketOf("kept"), page);
  await broker.kill();
  await supervisor.end("SIGKILL");
  expect(await askForPage(socketOf("kept"), page)).toBe(inside);
  await supervisor.start();
  await broker.start();
  expect(await supervisor.status(idOf("kept"))).toMatchObject({ state: "running", pid, respawns: 0 });
  expect(await supervisor.act("restart", idOf("kept"))).toMatchObject({ ok: true });
  await until("one container", async () => (await containersOf("kept")).length === 1);
  expect(await supervisor.act("stop", idOf("counter"))).toMatchObject({ ok: true });
  const lines = await until("the log", async () => {
    const { body } = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("counter"))}/log?lines=10000`);
    const numbers = [...JSON.stringify(body).matchAll(/line (\d+)/g)].map(([, number]) => Number(number));
    return numbers.length > 0 && numbers;
  });
  expect(lines).toEqual(lines.map((_, index) => index + 1));
});

test("a container that is stopped or removed by hand is a run that ended, and another one follows", async () => {
  alice.writeConf("shot", ...PHP, "healthy-after = 0s");
  await supervisor.rescan();
  for (const verb of [["kill"], ["stop", "--time", "1"], ["rm", "--force"]]) {
    const { pid } = await supervisor.reaches(idOf("shot"), "running");
    const [id = ""] = await containersOf("shot");
    await docker(...verb, id);
    await until("the end of that container", async () => !(await containersOf("shot")).includes(id));
    await supervisor.reaches(idOf("shot"), "running", pid);
    await until("another container", async () => (await containersOf("shot")).length === 1);
  }
  // One more where the program had ended before its container, which the next run was begun in.
  expect(exitsOf("shot").length).toBeGreaterThanOrEqual(3);
  await until("no other container", async () => {
    const all = await docker("ps", "--all", "--quiet", "--filter", `name=dmhost-${alice.name}-shot-`);
    return all.split("\n").length === 1;
  });
});

test("a memory limit ends a container's processes, and the exit says so with the limit", async () => {
  const hog = `exec perl -e 'my @a; push @a, "x" x 1000000 while 1'`;
  alice.writeConf("hog", `image = ${IMAGE}`, `start = ${hog}`, "memory = 32M", "max-retries = 0", "healthy-after = 1h");
  await supervisor.rescan();
  await supervisor.act("start", idOf("hog"));
  await until("its end", () => exitsOf("hog")[0]);
  expect(exitsOf("hog")[0]).toMatch(/^out of memory/);
});

test("exit codes of a container's program are exact, and a program that is missing is a launch that failed", async () => {
  alice.writeConf("seven", `image = ${IMAGE}`, "start = exit 7", "max-retries = 0");
  alice.writeConf("missing", `image = ${IMAGE}`, "start = exec /no/such", "max-retries = 0");
  await supervisor.rescan();
  await supervisor.act("start", idOf("seven"));
  await supervisor.act("start", idOf("missing"));
  expect(exitsOf("seven")[0]).toBe("exited with code 7");
  expect(exitsOf("missing")[0]).toMatch(/127|no such/i);
});

test("a stop ends the container, and an image that nobody granted is refused", async () => {
  alice.writeConf("ended", ...PHP);
  alice.writeConf("other", "image = debian", "start = true");
  await supervisor.rescan();
  await supervisor.up(idOf("ended"));
  expect(await supervisor.act("stop", idOf("ended"))).toMatchObject({ ok: true, daemon: { state: "stopped" } });
  await until("its end", async () => (await containersOf("ended")).length === 0);
  expect(await supervisor.act("start", idOf("other"))).toMatchObject({
    ok: false,
    reason: expect.stringContaining("[images]"),
  });
});

test("after the end of the supervisor no container is left", async () => {
  await supervisor.end("SIGTERM");
  await until("no container", async () => (await docker("ps", "--quiet", "--filter", "name=dmhost-dmt-")) === "");
});
