/** Records of a newer release, of which only the desired state, the number of instances and the exit are known. */
import { expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { initial } from "../core/lifecycle.ts";
import type { InstanceRecord } from "./ports/records.ts";
import { Scene } from "./scene.fake.ts";

const foreign = (state: "up" | "down", more: Partial<InstanceRecord> = {}): InstanceRecord => ({
  state: { ...initial, want: state },
  fingerprint: "",
  scale: undefined,
  size: 1,
  role: "active",
  run: undefined,
  log: undefined,
  foreign: state,
  ...more,
});

/** A daemon of an earlier supervisor. Another one finds such a record in place of that of the daemon. */
const begun = async (definition: Partial<Definition> = {}) => {
  const scene = new Scene();
  const daemon = await scene.load("web", definition);
  const { pid } = daemon;
  return {
    scene,
    pid,
    stop: () => scene.after(200, scene.supervisor.stop(daemon)),
    downgrade: async (record: InstanceRecord) => {
      scene.ports.records.flush();
      scene.ports.records.removeAll("alice", "web");
      scene.ports.records.put("alice", "web", 1, record);
      scene.replace();
      await scene.ports.clock.advance(500);
    },
    phases: () =>
      scene
        .daemon("web")
        .instances()
        .map(({ state }) => state.phase),
  };
};

test("a stopped daemon stays stopped after a downgrade, although it would be started by its conf file", async () => {
  const { scene, stop, downgrade, phases } = await begun();
  await stop();
  await downgrade(foreign("down"));
  expect([phases(), scene.ports.runs.live]).toEqual([["stopped"], []]);
  scene.replace();
  expect(phases()).toEqual(["stopped"]);
});

test("a stop under way is completed after a downgrade", async () => {
  const { scene, downgrade, phases } = await begun();
  await downgrade(foreign("down"));
  expect([phases(), scene.ports.runs.live]).toEqual([["stopped"], []]);
});

test("a live run goes on after a downgrade, with as many others as scale had set", async () => {
  const { scene, pid, downgrade, phases } = await begun({ listen: "fastcgi", autostart: false });
  expect(pid).toBe(0);
  await scene.after(200, scene.supervisor.start(scene.daemon("web")));
  const [run] = scene.ports.runs.live;
  await downgrade(foreign("up", { scale: 3, size: 3 }));
  expect([phases(), scene.daemon("web").size]).toEqual([["running", "running", "running"], 3]);
  expect(scene.ports.runs.live).toContain(run);
});

test.each([
  [false, "running"],
  [true, "asleep"],
] as const)(
  "a daemon with ondemand %s that is to be up without a run is %s after a downgrade",
  async (ondemand, phase) => {
    const { downgrade, phases } = await begun({ listen: "fastcgi", autostart: false, ondemand });
    await downgrade(foreign("up"));
    expect(phases()).toEqual([phase]);
  },
);

test("a daemon that is to be up and is forbidden after a downgrade starts when it is permitted", async () => {
  const { scene, downgrade, phases } = await begun({ autostart: false });
  scene.inForce = new Scene({ limits: { alice: { daemons: 0 } } }).inForce;
  await downgrade(foreign("up"));
  expect([phases(), scene.ports.runs.live]).toEqual([["forbidden"], []]);
  scene.reload();
  await scene.ports.clock.advance(500);
  expect(phases()).toEqual(["running"]);
});

test("a daemon that exited stays away after a downgrade", async () => {
  const { scene, downgrade } = await begun();
  const exit = scene.supervisor.exit(scene.daemon("web"));
  await scene.after(200, exit);
  await downgrade(foreign("down", { exited: true }));
  expect(scene.supervisor.daemons()).toEqual([]);
});
