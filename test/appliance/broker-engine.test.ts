/** The broker while its engine stops and starts: an engine of this test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { command, eventually } from "./appliance.ts";
import { BrokerStage, refusal } from "./broker-stage.ts";

const RUN = `/run/dmhost-broker-${process.pid}`;
const DATA = `/var/lib/dmhost-broker-engine-${process.pid}`;
const HOST = `unix://${RUN}/docker.sock`;

let engine: ChildProcess;
let stage: BrokerStage;

const startEngine = async (): Promise<void> => {
  const paths = ["--data-root", DATA, "--exec-root", join(RUN, "exec"), "--pidfile", join(RUN, "docker.pid")];
  const others = ["--host", HOST, "--bridge", "none", "--iptables=false", "--live-restore"];
  const log = openSync(join(RUN, "log"), "a");
  // In a separate network: without a bridge it would remove that of another engine.
  engine = spawn("unshare", ["--net", "dockerd", ...paths, ...others], { stdio: ["ignore", log, log] });
  await eventually("the engine", async () => {
    if (engine.exitCode !== null) throw new Error(`dockerd ended; ${join(RUN, "log")} has the reason`);
    const { code } = await command({ ...process.env, DOCKER_HOST: HOST }, "docker", "version");
    return code === 0 || undefined;
  });
};
const stopEngine = async (): Promise<void> => {
  if (engine.exitCode !== null) return;
  engine.kill("SIGTERM");
  await once(engine, "exit");
};

beforeAll(async () => {
  for (const path of [RUN, DATA]) mkdirSync(path, { recursive: true, mode: 0o700 });
  await startEngine();
  stage = await BrokerStage.make(HOST);
});
afterAll(async () => {
  await stage?.remove();
  await stopEngine();
  // It leaves mounts behind.
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  const own = mounts.filter((path) => [RUN, DATA].some((directory) => path.startsWith(directory)));
  for (const path of own.sort().reverse()) await command(process.env, "umount", "--lazy", path);
  for (const path of [RUN, DATA]) rmSync(path, { recursive: true, force: true });
});

/** Until the supervisor has got this event. */
const told = (what: string, is: (event: BrokerStage["supervisor"]["events"][number]) => boolean) =>
  eventually(what, async () => stage.supervisor.events.some(is) || undefined);

test("an engine that restarts is reported, and so is what ended and was removed meanwhile", async () => {
  const [stays, ends, goes] = [await stage.make("web"), await stage.make("web"), await stage.make("web")];
  const { Pid: pid } = (await stage.inspect(ends.made.container)).State;
  await stage.docker("rm", "--force", goes.made.container);
  await told("the removal by hand", (event) => event.kind === "removed" && event.container === goes.made.container);
  await stopEngine();
  await told("the end of the engine", (event) => event.kind === "engine" && !event.reachable);
  expect((await refusal(stage.supervisor.request("hello", { version: 1 }))).message).toMatch(
    /^engine: the Docker engine does not answer: .*docker\.sock/,
  );
  process.kill(pid, "SIGKILL");
  await startEngine();
  await told("the engine", (event) => event.kind === "engine" && event.reachable);
  await told("the end", (event) => event.kind === "ended" && event.container === ends.made.container);
  await stage.supervisor.request("hello", { version: 1 });
  const { containers } = await stage.supervisor.request("list", {});
  expect(containers.map(({ container, running }) => [container, running])).toEqual([
    [stays.made.container, true],
    [ends.made.container, false],
  ]);
  for (const { container } of containers) await stage.supervisor.request("remove", { container });
});

test("a container is in the cgroup that the supervisor names", async () => {
  const { cgroupDriver } = await stage.supervisor.request("hello", { version: 1 });
  const cgroup = `/dmhost-broker-test/${stage.alice.name}/web.d/1-77`;
  const { made } = await stage.make("web", { cgroup, run: 77 });
  const { HostConfig } = await stage.inspect(made.container);
  const slice = `dmhost-${stage.alice.name.replaceAll("-", "\\x2d")}.slice`;
  expect(HostConfig.CgroupParent).toBe(cgroupDriver === "systemd" ? slice : cgroup);
  await stage.supervisor.request("remove", { container: made.container });
  expect((await refusal(stage.make("web", { cgroup: "/other/1-1", run: 1 }))).code).toBe("invalid");
  await command(
    process.env,
    "sh",
    "-c",
    "find /sys/fs/cgroup -depth -type d -path '*/dmhost-broker-test*' -exec rmdir {} +",
  );
});
