/** Daemons in containers: the supervisor with its shim, and namespaces in place of an engine's containers. */

import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { NamespaceBroker } from "./namespace-broker.ts";
import { isRunning, kill } from "./proc.ts";
import { DMCTL, run, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let page: string;
let supervisor: Supervisor;
let broker: NamespaceBroker;

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const dmctl = (...words: string[]) =>
  run([...DMCTL, ...words], { env: { PATH: "/usr/bin:/bin", DMCTL_SOCKET: supervisor.socket } });

/** How the runs of a daemon have ended. */
const exitsOf = (name: string) =>
  supervisor
    .log()
    .filter(({ daemon, event }) => daemon === idOf(name) && event === "exited")
    .map(({ reason }) => reason);

const PHP = ["image = php", "start = exec php-cgi -q", "listen = fastcgi"];

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php usleep(1000 * ($_GET['ms'] ?? 0)); echo getmypid();");
  const broker_ = join(stage.directory, "broker.sock");
  supervisor = stage.supervisor(
    "main",
    [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name, "[images]", `${alice.name}: php, tools`],
    { flags: ["--broker", broker_] },
  );
  broker = new NamespaceBroker(broker_, join(supervisor.runDir, "guests"), () => alice, {
    command: ["/bin/sh", "-c", "echo image command in $PWD with $GREETING; exec sleep 1000"],
    environment: ["GREETING=hello", "PATH=/usr/bin:/bin"],
    directory: "/usr",
  });
  await broker.start();
  await supervisor.start();
});
afterAll(async () => {
  await broker?.remove();
  await stage?.remove();
});
afterEach(() => {
  broker.isSlow = false;
});

test("a site in a container answers at its published socket, and a killed process is back in the same container", async () => {
  alice.writeConf("site", ...PHP);
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("site"));
  const inside = await askForPage(socketOf("site"), page);
  expect(Number(inside)).toBeLessThan(100);
  const made = broker.made.length;
  kill(pid);
  const again = await supervisor.reaches(idOf("site"), "running", pid);
  expect(isRunning(again.pid)).toBe(true);
  expect(await askForPage(socketOf("site"), page)).not.toBe(inside);
  expect(broker.made.length).toBe(made);
});

test("without start the image's own command runs, in its directory and with its variables; its output is logged", async () => {
  alice.writeConf("own", "image = tools", "output = log", "export GREETING2 = x");
  await supervisor.rescan();
  await supervisor.up(idOf("own"));
  await until("its line", async () =>
    (await dmctl(idOf("own"), "log")).stdout.includes("image command in /usr with hello"),
  );
});

test("a restart begins a new container beside the old one, and loses no client", async () => {
  alice.writeConf("rolled", ...PHP);
  await supervisor.rescan();
  await supervisor.up(idOf("rolled"));
  const made = broker.made.length;
  let isOver = false;
  let answers = 0;
  const clients = Array.from({ length: 2 }, async () => {
    while (!isOver) {
      expect(Number(await askForPage(socketOf("rolled"), page, "ms=20"))).toBeGreaterThan(1);
      answers += 1;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  });
  expect(await supervisor.act("restart", idOf("rolled"))).toMatchObject({ ok: true });
  isOver = true;
  await Promise.all(clients);
  expect(answers).toBeGreaterThan(0);
  expect(broker.made.length).toBe(made + 1);
  await until("the end of the old one", () => broker.running.filter(({ name }) => name === "rolled").length === 1);
});

test("a container goes on while the supervisor is killed, and the next one knows it and what has happened", async () => {
  alice.writeConf("kept", ...PHP);
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("kept"));
  const inside = await askForPage(socketOf("kept"), page);
  await supervisor.end("SIGKILL");
  expect(await askForPage(socketOf("kept"), page)).toBe(inside);
  await supervisor.start();
  expect(await supervisor.status(idOf("kept"))).toMatchObject({ state: "running", pid, respawns: 0 });
  await supervisor.end("SIGKILL");
  kill(pid);
  await supervisor.start();
  const again = await supervisor.reaches(idOf("kept"), "running", pid);
  expect(exitsOf("kept")).toEqual(["killed by SIGKILL"]);
  expect(isRunning(again.pid)).toBe(true);
  expect(broker.known.filter(({ name }) => name === "kept")).toHaveLength(1);
  expect(await askForPage(socketOf("kept"), page)).toMatch(/^[2-9]$/);
});

test("a supervisor that is killed while a container is made leaves none but that of the next one", async () => {
  alice.writeConf("begun", ...PHP);
  broker.isSlow = true;
  await supervisor.rescan();
  await until("a container", () => broker.running.some(({ name }) => name === "begun"));
  await supervisor.end("SIGKILL");
  broker.isSlow = false;
  await supervisor.start();
  await supervisor.reaches(idOf("begun"), "running");
  await until("only one container", () => broker.known.filter(({ name }) => name === "begun").length === 1);
});

test("a container that the engine ends is a run that was killed, and a new one follows", async () => {
  alice.writeConf("shot", ...PHP, "healthy-after = 0s");
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("shot"));
  const found = broker.running.find(({ name }) => name === "shot");
  broker.kill(found?.container ?? "");
  await supervisor.reaches(idOf("shot"), "running", pid);
  expect(exitsOf("shot")).toEqual(["killed by SIGKILL"]);
  await until("only one container", () => broker.known.filter(({ name }) => name === "shot").length === 1);
});

test("what the broker refuses is the reason of the start, and its absence is reported and waited for", async () => {
  alice.writeConf("refused", ...PHP, "max-retries = 0");
  await supervisor.rescan();
  await supervisor.act("stop", idOf("refused"));
  broker.refusal = "the image php has moved";
  expect(await supervisor.act("start", idOf("refused"))).toMatchObject({
    ok: false,
    reason: expect.stringContaining("creating its container: the image php has moved"),
  });
  await broker.stop();
  const start = supervisor.act("start", idOf("refused"));
  await broker.start();
  expect(await start).toMatchObject({ ok: true });
});

test("a stop ends the container, and so does a stop while it is made", async () => {
  alice.writeConf("ended", ...PHP);
  await supervisor.rescan();
  await supervisor.up(idOf("ended"));
  expect(await supervisor.act("stop", idOf("ended"))).toMatchObject({ ok: true, daemon: { state: "stopped", pid: 0 } });
  await until("no container", () => !broker.known.some(({ name }) => name === "ended"));
  broker.isSlow = true;
  const start = supervisor.act("start", idOf("ended"));
  await until("a container", () => broker.running.some(({ name }) => name === "ended"));
  expect(await supervisor.act("stop", idOf("ended"))).toMatchObject({ ok: true, daemon: { state: "stopped" } });
  expect(await start).toMatchObject({ ok: false });
});

test("a daemon whose file gets or loses image= moves into a container and out of it without losing its socket", async () => {
  alice.writeConf("moved", "start = exec php-cgi -q", "listen = fastcgi");
  await supervisor.rescan();
  await supervisor.up(idOf("moved"));
  expect(Number(await askForPage(socketOf("moved"), page))).toBeGreaterThan(100);
  alice.writeConf("moved", ...PHP);
  expect(await supervisor.act("restart", idOf("moved"))).toMatchObject({ ok: true });
  expect(Number(await askForPage(socketOf("moved"), page))).toBeLessThan(100);
  alice.writeConf("moved", "start = exec php-cgi -q", "listen = fastcgi");
  expect(await supervisor.act("restart", idOf("moved"))).toMatchObject({ ok: true });
  expect(Number(await askForPage(socketOf("moved"), page))).toBeGreaterThan(100);
  await until("no container", () => !broker.known.some(({ name }) => name === "moved"));
});

test("notify and a descriptor report readiness from a container, and a failed launch names its stage", async () => {
  const notify = `perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); send(S, "READY=1", 0, sockaddr_un($ENV{NOTIFY_SOCKET})); sleep 1000'`;
  alice.writeConf("notified", "image = tools", `start = exec ${notify}`, "ready = notify");
  alice.writeConf("line", "image = tools", "start = echo >&4; exec sleep 1000", "ready = fd:4");
  alice.writeConf("nowhere", "image = tools", "start = true", "dir = /nowhere", "max-retries = 0");
  await supervisor.rescan();
  await supervisor.up(idOf("notified"));
  await supervisor.up(idOf("line"));
  expect(await supervisor.act("start", idOf("nowhere"))).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/entering \/nowhere: no such directory/),
  });
});

test("dmctl images shows a tenant the images of their daemons alone, and only root accepts one that has moved", async () => {
  const image = "docker.io/library/php:latest";
  const others = { image: "docker.io/library/secret:1", moved: false, usedBy: ["bob/x"] };
  broker.images = [{ image, recorded: "sha256:a", present: "sha256:b", moved: true, usedBy: [idOf("site")] }, others];
  const env = { PATH: "/usr/bin:/bin", DMCTL_SOCKET: supervisor.socket };
  const asAlice = await run([...alice.become, ...DMCTL, "images"], { env });
  expect(asAlice.stdout).toContain(`${image}  moved`);
  expect(asAlice.stdout).not.toContain("secret");
  expect(await run([...alice.become, ...DMCTL, "images", "accept", "php"], { env })).toMatchObject({
    stderr: expect.stringContaining("only root"),
  });
  expect((await dmctl("images")).stdout).toContain("secret");
  expect((await dmctl("images", "accept", "php")).stdout).toBe(`accepted: ${image}\n`);
  expect((await dmctl("images")).stdout).toMatch(new RegExp(`${image} +present`));
});

test("a daemon that had given up has not begun again after the supervisor was killed, though its container waited", async () => {
  alice.writeConf("failed", "image = tools", "start = sleep 0.2; exit 3", "max-retries = 0", "output = discard");
  await supervisor.rescan();
  await supervisor.reaches(idOf("failed"), "failed");
  expect(broker.running.some(({ name }) => name === "failed")).toBe(true);
  const runs = exitsOf("failed").length;
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect(await supervisor.status(idOf("failed"))).toMatchObject({ state: "failed", pid: 0 });
  await until("the end of its container", () => !broker.known.some(({ name }) => name === "failed"));
  expect(exitsOf("failed")).toHaveLength(runs);
});

test("a launch that is too large for the shim fails with the reason, and nothing else does", async () => {
  const lines = Array.from({ length: 5 }, (_, index) => `export V${index} = ${"x".repeat(60_000)}`);
  alice.writeConf("large", "image = tools", "start = exec sleep 1000", "max-retries = 0", ...lines);
  await supervisor.rescan();
  expect(await supervisor.act("start", idOf("large"))).toMatchObject({ ok: false });
  expect(await supervisor.status(idOf("site"))).toMatchObject({ state: "running" });
});

test("a run that failed is followed in the same container, also where the supervisor begins it", async () => {
  alice.writeConf("tries", "image = tools", "start = sleep 0.1; exit 3", "max-retries = 2", "healthy-after = 1h");
  await supervisor.rescan();
  await supervisor.reaches(idOf("tries"), "failed");
  expect(exitsOf("tries")).toEqual(Array(3).fill("exited with code 3"));
  expect(broker.made.filter((id) => id === idOf("tries"))).toHaveLength(1);
});
