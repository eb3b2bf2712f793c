import { beforeEach, expect, test } from "vitest";
import { settled } from "../engine/ports/clock.fake.ts";
import { Scene } from "../engine/scene.fake.ts";
import { Supervisor } from "../engine/supervisor.ts";
import { fakeLog } from "./log.fake.ts";
import { Service } from "./service.ts";

let scene: Scene;
let steps: string[];
let lines: string[];
let signals: Map<string, () => void>;
let open: () => Promise<void>;
let onExit: () => void;

const make = (): Service => {
  const { log, lines: written } = fakeLog();
  lines = written;
  const step = (name: string) => (): void => void steps.push(name);
  const removeStrays = scene.supervisor.removeStrays.bind(scene.supervisor);
  scene.supervisor.removeStrays = () => {
    steps.push("remove strays");
    return removeStrays();
  };
  return new Service({
    supervisor: scene.supervisor,
    publisher: { plan: step("plan sites"), close: step("close sites") },
    control: {
      open: () => {
        steps.push("open control");
        return open();
      },
      close: step("close control"),
    },
    loading: { end: step("all daemons are known") },
    reload: {
      confs: async () => {
        steps.push("read conf files");
        return scene.rescan();
      },
      everything: async () => void steps.push("reload"),
    },
    log,
    onSignal: (signal, handle) => void signals.set(signal, handle),
    active: step("active"),
    release: step("release the shim"),
    exit: () => {
      steps.push("exit");
      onExit();
    },
  });
};
/** Lets the control sockets open, or fail to, only when the test says so. */
const delayOpen = (): Pick<PromiseWithResolvers<void>, "resolve" | "reject"> => {
  const opening = Promise.withResolvers<void>();
  open = () => opening.promise;
  return opening;
};
const send = (signal: string): void => signals.get(signal)?.();

beforeEach(() => {
  scene = new Scene();
  steps = [];
  signals = new Map();
  open = () => Promise.resolve();
  onExit = () => undefined;
});

const STARTED = [
  "open control",
  "read conf files",
  "plan sites",
  "remove strays",
  "active",
  "all daemons are known",
] as const;
const STOPPED = ["close control", "release the shim", "exit"] as const;

test("a start opens the control sockets, then loads daemons, and only then removes what belongs to none", async () => {
  scene.ports.confs.write("alice", "blog");
  await make().start();
  expect(steps).toEqual(STARTED);
  expect(lines).toEqual(["info ready"]);
  expect(scene.daemon("blog").id).toBe("alice/blog");
});

test("a start adopts the runs of present conf files and ends the runs of vanished ones", async () => {
  const kept = (await scene.load("blog")).representative.pid;
  const lost = (await scene.load("shop")).representative.pid;
  scene.ports.replace("killed");
  scene.ports.confs.remove("alice", "shop");
  scene.supervisor = new Supervisor(scene.ports, scene.inForce, () => undefined);
  await make().start();
  await scene.ports.clock.advance(60_000);
  expect(scene.daemon("blog").representative.pid).toBe(kept);
  expect([scene.ports.runs.find(kept), scene.ports.runs.find(lost)]).toEqual([expect.anything(), undefined]);
});

test("a transition after the start lets the sites be reviewed, and counts as activity", async () => {
  await make().start();
  steps.length = 0;
  scene.supervisor.changed();
  expect(steps).toEqual(["plan sites", "active"]);
});

test("SIGHUP reloads the policy and conf files", async () => {
  await make().start();
  steps.length = 0;
  send("SIGHUP");
  await settled();
  expect(steps).toEqual(["reload"]);
});

test.each(["SIGTERM", "SIGINT"])(
  "a supervisor that gets %s stops every daemon, closes the sockets and ends the process",
  async (signal) => {
    const blog = await scene.load("blog");
    await make().start();
    steps.length = 0;
    send(signal);
    await settled();
    // Clients can still ask about daemons that are stopping.
    expect([steps.includes("close control"), blog.state.phase]).toEqual([false, "stopping"]);
    await scene.ports.clock.advance(60_000);
    expect(steps.filter((step) => step !== "plan sites" && step !== "active")).toEqual(["close sites", ...STOPPED]);
    expect(blog.state.phase).toBe("stopped");
    expect(lines).toEqual(["info ready", "info stopping every daemon", "info stopped"]);
  },
);

test("no record of a run is left when the process ends, so the next supervisor starts the daemon", async () => {
  const { key } = await scene.load("blog");
  await make().start();
  const recorded = () => scene.ports.records.recall(key).get(1);
  let atExit: unknown = "not ended";
  onExit = () => {
    atExit = recorded();
  };
  expect(recorded()).toMatchObject({ state: { want: "up" } });
  send("SIGTERM");
  await scene.ports.clock.advance(60_000);
  expect(atExit).toBeUndefined();
});

test("a second SIGTERM changes nothing", async () => {
  await make().start();
  send("SIGTERM");
  send("SIGTERM");
  send("SIGINT");
  await scene.ports.clock.advance(60_000);
  expect(steps.filter((step) => step === "exit")).toEqual(["exit"]);
});

test("SIGTERM during the start takes effect once the daemons are loaded", async () => {
  const opening = delayOpen();
  scene.ports.confs.write("alice", "blog");
  const started = make().start();
  send("SIGTERM");
  await settled();
  expect(steps).toEqual(["open control"]);
  opening.resolve();
  await started;
  await scene.ports.clock.advance(60_000);
  expect(steps.filter((step) => step !== "plan sites" && step !== "active")).toEqual([
    ...STARTED.filter((step) => step !== "plan sites" && step !== "active"),
    "close sites",
    ...STOPPED,
  ]);
});

test("a start that fails closes what it has opened and says why", async () => {
  open = () => Promise.reject(new Error("listen EACCES: /run/dmhost/command.sock"));
  await expect(make().start()).rejects.toThrow("listen EACCES: /run/dmhost/command.sock");
  expect(steps).toEqual(["open control", "close control", "release the shim"]);
  expect(lines).toEqual([]);
});

test("SIGHUP during the start reloads once the daemons are loaded", async () => {
  const opening = delayOpen();
  const started = make().start();
  send("SIGHUP");
  await settled();
  expect(steps).toEqual(["open control"]);
  opening.resolve();
  await started;
  await settled();
  expect(steps).toEqual([...STARTED, "reload"]);
});

test("SIGTERM during a start that fails does not shut down a second time", async () => {
  const opening = delayOpen();
  const started = make().start();
  send("SIGTERM");
  opening.reject(new Error("listen EACCES"));
  await expect(started).rejects.toThrow("listen EACCES");
  await settled();
  expect(steps).toEqual(["open control", "close control", "release the shim"]);
});
