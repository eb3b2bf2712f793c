import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { Scene } from "./scene.fake.ts";

const sleeping = async (definition: Partial<Definition> = {}) => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", ondemand: true, idleTimeout: 8000, ...definition });
  const socket = scene.ports.sockets.current;
  if (!socket) throw new Error("no socket");
  return { scene, daemon, socket };
};

describe("a daemon that runs on demand", () => {
  test("a start leaves an ondemand daemon asleep, and a client wakes it", async () => {
    const { scene, daemon, socket } = await sleeping();
    expect([daemon.state.phase, scene.ports.runs.live]).toEqual(["asleep", []]);
    expect(socket.connect(1)).toBe(true);
    await scene.ports.clock.advance(200);
    expect(daemon.state.phase).toBe("running");
  });

  test("an ondemand daemon goes to sleep after idle-timeout without a client, and wakes again", async () => {
    const { scene, daemon, socket } = await sleeping();
    socket.connect(1);
    socket.accept();
    await scene.ports.clock.advance(5000);
    expect(daemon.state.phase).toBe("running");
    await scene.ports.clock.advance(10_000);
    expect(daemon.state.phase).toBe("asleep");
    socket.connect(2);
    await scene.ports.clock.advance(200);
    expect(daemon.state.phase).toBe("running");
  });

  test("an ondemand daemon stays up while a client is connected, or its clients are unknown", async () => {
    const { scene, daemon, socket } = await sleeping();
    socket.connect(1);
    socket.accept();
    await scene.ports.clock.advance(200);
    for (const client of [true, undefined]) {
      scene.ports.runs.latest.client = client;
      await scene.ports.clock.advance(30_000);
      expect(daemon.state.phase).toBe("running");
    }
    scene.ports.runs.latest.client = false;
    await scene.ports.clock.advance(20_000);
    expect(daemon.state.phase).toBe("asleep");
  });

  test("a daemon that runs on demand stays up while a client waits that its program does not accept, even when that client has left", async () => {
    const { scene, daemon, socket } = await sleeping();
    socket.connect(1);
    await scene.ports.clock.advance(60_000);
    expect(daemon.state).toMatchObject({ phase: "running", run: 1 });
    socket.left.add(1);
    await scene.ports.clock.advance(60_000);
    expect(daemon.state).toMatchObject({ phase: "running", run: 1 });
    socket.accept();
    await scene.ports.clock.advance(60_000);
    expect(daemon.state).toMatchObject({ phase: "asleep", run: 1 });
  });

  test("once keeps an ondemand daemon awake until its run ends, and no client wakes it then", async () => {
    const { scene, daemon } = await sleeping();
    expect(await scene.after(200, scene.supervisor.once(daemon))).toEqual({ ok: true });
    scene.ports.runs.latest.end({ code: 0 });
    await scene.ports.clock.advance(200);
    expect(daemon.state.phase).toBe("stopped");
  });

  test("a crash puts an ondemand daemon to sleep until the next client", async () => {
    const { scene, daemon, socket } = await sleeping();
    socket.connect(1);
    socket.accept();
    await scene.ports.clock.advance(200);
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(300);
    expect(daemon.state.phase).toBe("asleep");
  });

  test("an asleep daemon starts when its conf file no longer says ondemand", async () => {
    const { scene, daemon } = await sleeping();
    scene.ports.confs.write("alice", "web", { listen: "fastcgi" });
    scene.rescan();
    await scene.ports.clock.advance(200);
    expect(daemon.state.phase).toBe("running");
  });

  test("an ondemand daemon does not go to sleep in the middle of a rolling restart", async () => {
    const { scene, daemon, socket } = await sleeping({ readyAfter: 20_000 });
    socket.connect(1);
    socket.accept();
    await scene.ports.clock.advance(200);
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(15_000);
    expect(scene.ports.runs.live).toHaveLength(2);
    expect(await scene.after(6000, restart)).toEqual({ ok: true });
  });
});

describe("whether a run has had a client", () => {
  const crashes = async (serve: (scene: Scene) => void): Promise<boolean | undefined> => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    serve(scene);
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(5);
    return daemon.state.last?.failed;
  };

  test("a young run that accepted a client has not failed", async () => {
    expect(await crashes(({ ports }) => [ports.sockets.current?.connect(1), ports.sockets.current?.accept()])).toBe(
      false,
    );
  });
  test("a young run that left its client waiting has failed", async () => {
    expect(await crashes(() => undefined)).toBe(true);
  });
  test("a client of another instance is not counted for one that crashes at once", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    const [first] = scene.ports.runs.live;
    first?.end({ code: 1 });
    await scene.ports.clock.advance(5);
    scene.ports.sockets.current?.connect(1);
    scene.ports.sockets.current?.accept();
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(3);
    expect(daemon.instances()[0]?.state.last?.failed).toBe(true);
  });
});
