import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { describeExit } from "../core/exit.ts";
import { FakeHelperProcess } from "./ports/run.fake.ts";
import { Scene, type World } from "./scene.fake.ts";

const M = 1 << 20;

/** A scene on a machine without the memory controller, with one daemon. */
const unenforced = async (definition: Partial<Definition>, world: World = {}) => {
  const scene = new Scene(world);
  scene.ports.machine.means = { controllers: new Set(), why: "no cgroups" };
  const daemon = await scene.load("web", definition);
  return { scene, daemon };
};

describe("the memory guard", () => {
  test("a run that exceeds its memory limit is killed, and its exit says so", async () => {
    const { scene, daemon } = await unenforced({ memory: 64 * M });
    scene.ports.runs.latest.bytes = 70 * M;
    await scene.ports.clock.advance(1000);
    expect(daemon.state.last?.exit).toEqual({ how: "out-of-memory", limit: 64 * M, peak: 70 * M });
    expect(daemon.state.last && describeExit(daemon.state.last.exit)).toBe("out of memory: used 70 MiB of 64 MiB");
    expect(daemon.oomKilled).toBe(1);
    expect(daemon.state.phase).toBe("running");
  });

  test("a run that frees its memory before the excess is confirmed is not killed", async () => {
    const { scene, daemon } = await unenforced({ memory: 64 * M });
    scene.ports.clock.outside(40, () => {
      scene.ports.runs.latest.bytes = 70 * M;
    });
    scene.ports.clock.outside(60, () => {
      scene.ports.runs.latest.bytes = 10 * M;
    });
    await scene.ports.clock.advance(2000);
    expect(daemon.state.run).toBe(1);
  });

  test("the largest run of an owner over the budget is killed, whichever daemon it belongs to", async () => {
    const { scene } = await unenforced({}, { limits: { alice: { memory: 100 * M } } });
    const other = await scene.load("other");
    const [web, big] = scene.ports.runs.live;
    if (web) web.bytes = 50 * M;
    if (big) big.bytes = 60 * M;
    await scene.ports.clock.advance(1000);
    expect(scene.daemon("web").state.run).toBe(1);
    expect(other.state.last?.exit).toEqual({ how: "out-of-memory", limit: 100 * M, peak: 110 * M });
  });

  test("a log/run that exceeds the budget is ended with the reason, and its daemon is not", async () => {
    const { scene, daemon } = await unenforced({ output: "log/run" }, { limits: { alice: { memory: 96 * M } } });
    const logger = new FakeHelperProcess();
    const log = scene.ports.logs.current;
    if (log) log.tenant = logger;
    logger.bytes = 100 * M;
    await scene.ports.clock.advance(1000);
    expect(logger.reason).toBe("out of memory: used 101 MiB of 96 MiB");
    expect(daemon.state.run).toBe(1);
  });

  test("measuring takes at most two percent of a processor, its confirmations included", async () => {
    const { scene } = await unenforced({ memory: 64 * M });
    const run = scene.ports.runs.latest;
    const times: number[] = [];
    const sizes = [10 * M, 70 * M, 70 * M, 10 * M, 10 * M];
    run.size = () => {
      times.push(scene.ports.clock.now());
      scene.ports.clock.usedTime += 10;
      return sizes[times.length - 1] ?? 0;
    };
    await scene.ports.clock.advance(4000);
    const pauses = times.slice(1, 5).map((time, index) => time - (times[index] ?? 0));
    expect(pauses).toEqual([50 * 10, 15, 15, 50 * 30]);
  });

  test("a run is measured exactly from its even share of its daemon's limit, or of its owner's budget where that is less", async () => {
    const { scene } = await unenforced({ memory: 64 * M }, { limits: { alice: { memory: 100 * M } } });
    await scene.load("other");
    await scene.ports.clock.advance(1000);
    expect(scene.ports.runs.live.map(({ doubts }) => doubts.at(-1))).toEqual([50 * M, 50 * M]);
    await scene.after(1000, scene.supervisor.stop(scene.daemon("other")));
    expect(scene.ports.runs.live.map(({ doubts }) => doubts.at(-1))).toEqual([64 * M]);
  });

  test("a process of unknown size counts as nothing", async () => {
    const { scene, daemon } = await unenforced({ memory: 64 * M });
    scene.ports.runs.latest.bytes = undefined;
    await scene.ports.clock.advance(1000);
    expect(daemon.state.run).toBe(1);
  });

  test("nothing is measured once no run with a limit lives", async () => {
    const { scene, daemon } = await unenforced({ memory: 64 * M });
    await scene.after(1000, scene.supervisor.stop(daemon));
    expect(scene.ports.clock.due).toBeUndefined();
  });

  test("nothing is measured where cgroups limit memory", async () => {
    const scene = new Scene();
    await scene.load("web", { memory: 64 * M });
    await scene.ports.clock.advance(1000);
    expect(scene.ports.clock.due).toBeUndefined();
  });

  test("a run that the next supervisor adopts is measured at once", async () => {
    const { scene } = await unenforced({ memory: 64 * M });
    scene.ports.runs.latest.bytes = 70 * M;
    scene.replace();
    await scene.ports.clock.advance(1000);
    expect(scene.daemon("web").state.last?.exit.how).toBe("out-of-memory");
  });

  test("runs are measured from the moment at which a reload limits them", async () => {
    const { scene, daemon } = await unenforced({});
    scene.ports.runs.latest.bytes = 70 * M;
    scene.reload({ limits: { alice: { memory: 64 * M } } });
    await scene.ports.clock.advance(1000);
    expect(daemon.state.last?.exit.how).toBe("out-of-memory");
  });

  test.each([
    ["5 s of waiting and no processor time", 0, 250],
    ["40 ms of processor time", 40, 2000],
  ])("the pause after a measurement of memory that took %s goes by its processor time", async (_, used, pause) => {
    const { scene } = await unenforced({ memory: 64 * M });
    const { clock, runs } = scene.ports;
    let measurements = 0;
    runs.latest.size = () => {
      measurements += 1;
      clock.usedTime += used;
      clock.stall(used === 0 ? 5000 : 0);
      return M;
    };
    while (measurements === 0) await clock.advance(1);
    expect(clock.due).toBe(pause);
  });
});
