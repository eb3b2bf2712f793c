import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import type { Daemon } from "./daemon.ts";
import { Scene } from "./scene.fake.ts";

/** A scene with one daemon at a held socket, which is up. */
const listening = async (definition: Partial<Definition> = {}): Promise<{ scene: Scene; daemon: Daemon }> => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", ...definition });
  return { scene, daemon };
};
const live = ({ ports }: Scene): number[] => ports.runs.live.map(({ instance }) => instance);

describe("a rolling restart", () => {
  test("starts the candidate before the old run ends, and ends the old run when the candidate has run for ready-after", async () => {
    const { scene, daemon } = await listening();
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(900);
    expect(live(scene)).toEqual([1, 2]);
    expect(await scene.after(200, restart)).toEqual({ ok: true });
    expect(live(scene)).toEqual([2]);
    expect(daemon.rolling).toBe(false);
  });

  test("starts its candidate only when the run of an earlier candidate has ended", async () => {
    const { scene, daemon } = await listening();
    scene.ports.runs.born = (run) => {
      run.obedient = false;
    };
    const first = scene.supervisor.restart(daemon);
    const second = scene.supervisor.restart(daemon);
    const third = scene.supervisor.restart(daemon);
    expect(live(scene)).toEqual([1, 2]);
    await scene.ports.clock.advance(9000);
    expect(live(scene)).toEqual([1, 2]);
    scene.ports.runs.born = () => undefined;
    expect(await scene.after(5000, third)).toEqual({ ok: true });
    expect([await first, await second]).toEqual([{ ok: true }, { ok: true }]);
    expect(live(scene)).toHaveLength(1);
  });
});
