/** Another supervisor continues with runs whose conf file has been changed, and not put in force. */
import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a changed conf file that was not put in force", () => {
  test("a run keeps its socket and its log, and is followed by one of the same conf file", async () => {
    const scene = new Scene();
    const { pid } = await scene.load("web", { listen: "http", output: "log", start: "exec former" });
    scene.ports.confs.write("alice", "web", { start: "exec next" });
    scene.rescan();
    scene.replace();
    expect(scene.daemon("web")).toMatchObject({ pid, changed: true, socketPath: "/run/fastcgi/alice/web.sock" });
    expect(scene.ports.logs.opened.at(-1)?.closed).toBe(false);
    await scene.ports.clock.advance(11_000);
    scene.ports.runs.latest.end({ code: 0 });
    await scene.ports.clock.advance(1000);
    expect(scene.ports.runs.latest.plan?.start).toBe("exec former");
    await scene.after(1000, scene.supervisor.restart(scene.daemon("web")));
    expect(scene.ports.runs.latest.plan?.start).toBe("exec next");
    expect(scene.daemon("web")).toMatchObject({ changed: false, socketPath: "" });
  });

  test("a run of a conf file that is invalid now goes on with its own", async () => {
    const scene = new Scene();
    const { pid } = await scene.load("web", { listen: "http", output: "log" });
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    scene.rescan();
    scene.replace();
    expect(scene.daemon("web")).toMatchObject({ pid, state: { phase: "running" } });
    expect(scene.daemon("web").terms?.definition.output).toBe("log");
  });

  test("a run whose account the policy no longer grants does not go on by its own conf file", async () => {
    const scene = new Scene();
    await scene.load("web", { user: "www" });
    scene.ports.confs.write("alice", "web");
    scene.rescan();
    scene.inForce = new Scene({ runsAs: { alice: [] } }).inForce;
    scene.replace();
    expect(scene.daemon("web").terms?.account.name).toBe("alice");
  });

  test("a rolling restart that was interrupted continues with both conf files", async () => {
    const scene = new Scene();
    await scene.load("web", { listen: "http", start: "exec former", drain: 60_000 });
    scene.ports.runs.latest.client = true;
    scene.ports.confs.write("alice", "web", { listen: "http", start: "exec next" });
    scene.rescan();
    void scene.supervisor.restart(scene.daemon("web"));
    await scene.ports.clock.advance(50);
    scene.replace();
    await scene.ports.clock.advance(5000);
    expect(scene.daemon("web").terms?.definition.start).toBe("exec next");
    expect(scene.daemon("web").state.phase).toBe("running");
  });
});

test("runs of an account that has another uid now are ended, and the daemon starts with the new one", async () => {
  const scene = new Scene();
  await scene.load("web");
  const former = scene.ports.runs.latest;
  scene.inForce = new Scene({ uids: { root: 0, alice: 4001, bob: 1002, www: 1100 } }).inForce;
  scene.replace();
  await scene.ports.clock.advance(2000);
  expect(former.exists).toBe(false);
  expect(scene.daemon("web").key.owner.uid).toBe(4001);
  expect(scene.daemon("web").state.phase).toBe("running");
});

test("what a stopped daemon no longer opens is removed", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "http" });
  await scene.after(100, scene.supervisor.stop(daemon));
  scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
  scene.replace();
  expect(scene.ports.sockets.strays).toEqual(["/run/fastcgi/alice/web.sock"]);
  expect(scene.ports.records.daemons("alice")).toEqual(["web"]);
});
