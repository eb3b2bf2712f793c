import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("the held socket of a daemon", () => {
  test("a stopped daemon keeps its socket and refuses clients; a running one admits them", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    const socket = scene.ports.sockets.current;
    expect([socket?.admits, daemon.socketPath]).toEqual([true, "/run/fastcgi/alice/web.sock"]);
    await scene.after(200, scene.supervisor.stop(daemon));
    expect([socket?.admits, socket?.closed]).toEqual([false, false]);
  });

  test("a socket is opened for the group of Nginx, and knows the runs", async () => {
    const scene = new Scene({ settings: { nginxGroup: "nginx" } });
    const daemon = await scene.load("web", { listen: "fastcgi" });
    expect(scene.ports.sockets.current).toMatchObject({ group: "nginx", leaders: [] });
    scene.replace();
    expect(scene.ports.sockets.current?.leaders.map(({ pid }) => pid)).toEqual([daemon.pid]);
  });

  test("a bind directory belongs to the run-as account and to the group of Nginx, and knows the runs", async () => {
    const scene = new Scene({ settings: { nginxGroup: "nginx" } });
    const daemon = await scene.load("web", { listen: "path", user: "www" });
    const [directory] = scene.ports.sockets.directories;
    expect(directory).toMatchObject({ group: "nginx", binder: { name: "www", uid: 1100 } });
    expect(directory?.leaders().map(({ pid }) => pid)).toEqual([daemon.pid]);
  });

  test("clients that wait when the last run has ended are refused", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    const socket = scene.ports.sockets.current;
    socket?.connect(1);
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(socket?.waiting).toEqual([]);
  });

  test("a socket whose clients cannot be refused is closed, and opened again at the next start", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    const socket = scene.ports.sockets.current;
    if (socket) socket.error = new Error("EADDRINUSE");
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(socket?.closed).toBe(true);
    expect(daemon.socketPath).toBe("");
    expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({ ok: true });
    expect(scene.ports.sockets.opened).toHaveLength(2);
  });

  test("a socket that is no longer published is replaced at the next launch", async () => {
    const scene = new Scene();
    await scene.load("web", { listen: "fastcgi" });
    const socket = scene.ports.sockets.current;
    if (socket) socket.published = false;
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(200);
    expect([socket?.closed, scene.ports.sockets.current?.published]).toEqual([true, true]);
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2 });
  });

  test("the length of the queue is restored when a run is up, because a program may have changed it", async () => {
    const scene = new Scene();
    scene.ports.confs.write("alice", "web", { listen: "fastcgi" });
    scene.rescan();
    const { current } = scene.ports.sockets;
    if (current) current.restored = 0;
    await scene.ports.clock.advance(90);
    expect(current?.restored).toBe(0);
    await scene.ports.clock.advance(100);
    expect(current?.restored).toBeGreaterThan(0);
  });

  test("a daemon whose conf file no longer listens gives up its socket", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", autostart: false });
    scene.ports.confs.write("alice", "web", { autostart: false });
    scene.rescan();
    expect(scene.ports.sockets.current).toBeUndefined();
    expect(daemon.socketPath).toBe("");
  });

  test.each([
    [new Error("EACCES: /run/fastcgi"), "EACCES: /run/fastcgi"],
    ["busy", "busy"],
  ])(
    "a daemon whose socket cannot be opened is invalid with the reason, and starts when it can",
    async (error, text) => {
      const scene = new Scene();
      scene.ports.sockets.error = error as Error;
      const daemon = await scene.load("web", { listen: "fastcgi" });
      expect(daemon.state).toMatchObject({ phase: "invalid", block: { reason: `publishing its socket: ${text}` } });
      scene.ports.sockets.error = new Error("EACCES");
      expect(await scene.after(200, scene.supervisor.start(daemon))).toMatchObject({
        ok: false,
        reason: 'cannot start "alice/web": publishing its socket: EACCES',
      });
      expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({ ok: true });
    },
  );
});

describe("the log of a daemon", () => {
  test("a log is open while the daemon runs or cools down, and closed when it rests", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log", maxRetries: 0 });
    const log = scene.ports.logs.current;
    expect(log?.logger.words).toContain("/home/alice/.daemon-manager/logs/web");
    expect(daemon.logDirectory).toBe("/home/alice/.daemon-manager/logs/web");
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(log?.closed).toBe(true);
  });

  test("the next log waits for the former one to be closed, and continues its count of dropped lines", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    const former = scene.ports.logs.current;
    if (former) {
      former.slow = true;
      former.lines = 7;
    }
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(daemon.logLoss).toEqual({ lines: 7, reason: "" });
    await scene.after(200, scene.supervisor.start(daemon));
    const { before } = scene.ports.logs.current ?? {};
    expect([before?.dropped, daemon.logLoss.lines]).toEqual([7, 7]);
    let closed = false;
    void before?.closed?.then(() => {
      closed = true;
    });
    await scene.ports.clock.advance(1);
    expect(closed).toBe(false);
    former?.finish();
    await scene.ports.clock.advance(1);
    expect(closed).toBe(true);
    await scene.after(200, scene.supervisor.stop(daemon));
    await scene.after(200, scene.supervisor.start(daemon));
    expect(scene.ports.logs.current?.before.closed).toBeUndefined();
  });

  test("a daemon that is loaded again waits for the log of the dropped one of its name", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    const former = scene.ports.logs.current;
    if (former) former.slow = true;
    await scene.after(200, scene.supervisor.exit(daemon));
    scene.rescan();
    await scene.ports.clock.advance(200);
    expect(scene.ports.logs.current?.before.closed).toBeInstanceOf(Promise);
  });

  test("changed log settings go to the open log; another output opens another log", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log", logSize: 4096 });
    const log = scene.ports.logs.current;
    scene.ports.confs.write("alice", "web", { output: "log", logSize: 8192 });
    await scene.after(500, scene.supervisor.restart(daemon));
    expect(scene.ports.logs.opened).toHaveLength(1);
    expect(log?.logger.words).toContain("s8192");
    scene.ports.confs.write("alice", "web", { output: "log/run" });
    await scene.after(500, scene.supervisor.restart(daemon));
    expect([log?.closed, scene.ports.logs.opened.length]).toEqual([true, 2]);
    await scene.after(500, scene.supervisor.restart(daemon));
    expect(scene.ports.logs.opened).toHaveLength(2);
    expect(daemon.helperProcesses()).toEqual([]);
  });

  test("a last line without an end is logged when no run lives", async () => {
    const scene = new Scene();
    await scene.load("web", { output: "log" });
    for (let crash = 0; crash < 2; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(150);
    }
    const idle = scene.ports.logs.current?.settles.at(-1);
    expect(idle?.()).toBe(true);
    await scene.ports.clock.advance(300);
    expect(idle?.()).toBe(false);
  });

  test("a log that cannot be opened fails the launch with its stage", async () => {
    const scene = new Scene();
    scene.ports.logs.error = new Error("EACCES");
    const daemon = await scene.load("web", { output: "log", autostart: false });
    expect(await scene.after(200, scene.supervisor.start(daemon))).toMatchObject({
      ok: false,
      reason: 'cannot start "alice/web": opening its log: EACCES',
      ran: false,
    });
  });

  test("a log that was closed meanwhile gets no line end from an earlier end of a run", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    const log = scene.ports.logs.current;
    await scene.after(200, scene.supervisor.stop(daemon));
    const [idle] = log?.settles ?? [];
    expect([log?.closed, daemon.pid, idle?.()]).toEqual([true, 0, false]);
  });

  test("a replaced logger is recorded for the next supervisor", async () => {
    const scene = new Scene();
    await scene.load("web", { output: "log" });
    const log = scene.ports.logs.current;
    if (log) log.lines = 3;
    log?.replaced();
    scene.replace();
    expect(scene.ports.logs.current?.before).toMatchObject({ logger: log?.trace().logger, dropped: 3 });
  });
});
