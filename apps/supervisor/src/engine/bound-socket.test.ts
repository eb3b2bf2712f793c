import { describe, expect, test } from "vitest";
import { describeExit } from "../core/exit.ts";
import { Scene } from "./scene.fake.ts";

const bound = async (definition = {}) => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "path", ...definition });
  const [directory] = scene.ports.sockets.directories;
  if (!directory) throw new Error("no bind directory");
  return { scene, daemon, directory };
};

describe("a run with listen=path", () => {
  test("a bound socket is published as soon as a process listens on it", async () => {
    const { scene, daemon, directory } = await bound();
    expect(directory.provided).toEqual([1]);
    expect(directory.publishedRun).toBeUndefined();
    directory.listening.add(1);
    await scene.ports.clock.advance(600);
    expect([directory.publishedRun, daemon.socketPath]).toEqual([1, "/run/fastcgi/alice/web.sock"]);
  });

  test("with ready=notify the socket is published only once the process has reported readiness", async () => {
    const { scene, directory } = await bound({ ready: "notify" });
    directory.listening.add(1);
    await scene.ports.clock.advance(1000);
    expect(directory.publishedRun).toBeUndefined();
    scene.ports.runs.latest.ready();
    await scene.ports.clock.advance(20);
    expect(directory.publishedRun).toBe(1);
  });

  test("attempts to publish become rarer: each delay is twice the one before, up to half a second", async () => {
    const { scene, directory } = await bound({ autostart: false });
    const times: number[] = [];
    directory.publish = () => {
      times.push(scene.ports.clock.now());
      return false;
    };
    void scene.supervisor.start(scene.daemon("web"));
    await scene.ports.clock.advance(3000);
    const delays = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(delays.slice(0, 9)).toEqual([10, 20, 40, 80, 160, 320, 500, 500, 500]);
  });

  test("attempts to publish are not made rarer by the time in which clients may not be sent there", async () => {
    const { scene, directory } = await bound({ ready: "notify" });
    await scene.ports.clock.advance(3000);
    directory.listening.add(1);
    scene.ports.runs.latest.ready();
    await scene.ports.clock.advance(12);
    expect(directory.publishedRun).toBe(1);
  });

  test("attempts to publish stop when the run has ended", async () => {
    const { scene, daemon, directory } = await bound();
    await scene.after(2000, scene.supervisor.stop(daemon));
    expect(scene.ports.clock.due).toBeUndefined();
    expect(directory.cleared).toEqual([1]);
  });

  test("a run whose directory exceeds its bounds is killed, and that counts as a failure", async () => {
    const { scene, daemon, directory } = await bound();
    directory.held = "more than 100 files";
    await scene.ports.clock.advance(1500);
    expect(daemon.state.last).toMatchObject({
      exit: { how: "too-many-files", held: "more than 100 files" },
      failed: true,
    });
    expect(daemon.state.last && describeExit(daemon.state.last.exit)).toBe(
      "killed because its bind directory holds more than 100 files",
    );
  });

  test("a directory that is checked while its run ends is not reported", async () => {
    const { scene, daemon, directory } = await bound();
    directory.excess = async () => {
      scene.ports.runs.latest.kill();
      await scene.ports.clock.advance(0);
      await new Promise<void>((resolve) => scene.ports.clock.outside(10, resolve));
      return "too much";
    };
    await scene.ports.clock.advance(3000);
    expect(daemon.state.last?.exit.how).not.toBe("too-many-files");
  });

  test("a rolling restart publishes the candidate's socket after ready-after, and drains the old run then", async () => {
    const { scene, daemon, directory } = await bound();
    directory.listening.add(1);
    await scene.ports.clock.advance(600);
    const restart = scene.supervisor.restart(daemon);
    directory.listening.add(2);
    await scene.ports.clock.advance(500);
    expect(directory.publishedRun).toBe(1);
    expect(await scene.after(1500, restart)).toEqual({ ok: true });
    expect(directory.publishedRun).toBe(2);
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([2]);
  });

  test("a candidate that is its own client is not ready before its socket is published", async () => {
    const { scene, directory } = await bound();
    directory.listening.add(1);
    await scene.ports.clock.advance(600);
    void scene.supervisor.restart(scene.daemon("web"));
    await scene.ports.clock.advance(200);
    scene.ports.runs.latest.client = true;
    await scene.ports.clock.advance(5000);
    expect(directory.publishedRun).toBe(1);
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1, 2]);
  });

  test("a candidate that does not bind its socket in time is rolled back, and the old socket is published again", async () => {
    const { scene, daemon, directory } = await bound({ readyTimeout: 2000 });
    directory.listening.add(1);
    await scene.ports.clock.advance(600);
    const restart = scene.supervisor.restart(daemon);
    directory.publishedRun = undefined;
    expect(await scene.after(5000, restart)).toMatchObject({
      ok: false,
      reason: 'cannot restart "alice/web": did not bind its socket within 2s (ready-timeout)',
    });
    expect(directory.publishedRun).toBe(1);
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1]);
  });

  test("a daemon with listen=path has one instance only", async () => {
    const { scene, daemon } = await bound();
    expect(await scene.supervisor.scale(daemon, 2)).toMatchObject({
      ok: false,
      reason:
        'cannot scale "alice/web": with listen=path each process binds the socket itself, so there can be only one',
    });
  });

  test("another run-as account gets another bind directory", async () => {
    const { scene, daemon, directory } = await bound();
    scene.ports.confs.write("alice", "web", { listen: "path", user: "www" });
    await scene.after(500, scene.supervisor.restart(daemon));
    expect([directory.closed, scene.ports.sockets.directories.length]).toEqual([true, 2]);
  });
});
