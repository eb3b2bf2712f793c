import { describe, expect, test } from "vitest";
import { imageName } from "../core/image.ts";
import { Scene, type World } from "./scene.fake.ts";

/** Loads one daemon of alice and returns why it must not run; undefined where it may. */
const reasonOf = async (world: World, definition = {}): Promise<string | undefined> => {
  const scene = new Scene(world);
  const daemon = await scene.load("web", definition);
  return daemon.state.block?.reason;
};

describe("admission", () => {
  test("a daemon runs as its owner or as a granted account", async () => {
    const scene = new Scene();
    expect((await scene.load("own")).terms?.account.name).toBe("alice");
    expect((await scene.load("granted", { user: "www" })).terms?.account.name).toBe("www");
  });

  test("a daemon must not run as an account that the policy does not grant", async () => {
    expect(await reasonOf({}, { user: "bob" })).toBe(
      'it may not run as "bob": no line of [runs_as] lets alice run daemons as bob',
    );
  });

  test("a daemon must not run as an account that does not exist", async () => {
    expect(await reasonOf({}, { user: "carol" })).toBe(
      'it may not run as "carol": there is no account "carol" on this machine',
    );
  });

  test("a supervisor that is not root runs only its own account's daemons, and only as that account", async () => {
    const world = { soleOwner: "alice" };
    expect(await reasonOf(world, { user: "www" })).toBe(
      'it may not run as "www": this supervisor is not root and runs daemons only as alice',
    );
    expect(await reasonOf(world)).toBeUndefined();
    expect(new Scene({ soleOwner: "alice" }).supervisor.owners()).toEqual(["alice"]);
  });

  test("a daemon must not use a key that its supervisor cannot apply", async () => {
    expect(await reasonOf({ soleOwner: "alice" }, { chroot: "/srv/jail" })).toMatch(/^chroot=/);
  });

  test("a daemon whose conf file defines nothing is invalid, with the first error as the reason", async () => {
    const scene = new Scene();
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:3: wrong", "web.conf:4: worse"] });
    scene.ports.confs.put("alice", "empty", {});
    scene.rescan();
    expect(scene.daemon("web").state).toMatchObject({ phase: "invalid", block: { reason: "web.conf:3: wrong" } });
    expect(scene.daemon("empty").block?.reason).toBe(
      "/home/alice/.daemon-manager/daemons/empty.conf: it defines nothing",
    );
  });

  test("daemons beyond the owner's number are forbidden, and start when an earlier one is removed", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 1 } } });
    const first = await scene.load("first");
    const second = await scene.load("second");
    expect([first.state.phase, second.state.phase]).toEqual(["running", "forbidden"]);
    expect(second.state.block?.reason).toBe(
      "alice may have 1 daemons, and this one exceeds that; root sets the limit in [limits], line 20",
    );
    await scene.after(200, scene.supervisor.stop(first));
    scene.ports.confs.remove("alice", "first");
    expect(scene.rescan()).toMatchObject({ removed: ["alice/first"], started: ["alice/second"] });
    await scene.ports.clock.advance(200);
    expect(second.state.phase).toBe("running");
  });

  test("the daemons that an earlier supervisor permitted keep their places, whatever their names", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 1 } } });
    const { pid } = await scene.load("zeta");
    expect((await scene.load("alpha")).state.phase).toBe("forbidden");
    scene.ports.confs.remove("alice", "zeta");
    scene.ports.confs.write("alice", "zeta");
    scene.replace();
    await scene.ports.clock.advance(200);
    expect(scene.daemon("zeta")).toMatchObject({ pid, state: { phase: "running" } });
    expect(scene.daemon("alpha").state.phase).toBe("forbidden");
  });

  test("a daemon whose conf file was removed takes no place while its run still ends", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 1 } } });
    const first = await scene.load("first");
    scene.ports.confs.remove("alice", "first");
    const second = await scene.load("second");
    expect([first.state.phase, second.state.phase]).toEqual(["running", "running"]);
  });

  test("a blocked daemon takes none of the instances that its owner may have", async () => {
    const scene = new Scene();
    const blocked = await scene.load("blocked", { listen: "fastcgi", instances: 510, ondemand: true, user: "www" });
    scene.reload({ runsAs: { alice: [] } });
    expect([blocked.block?.kind, blocked.size]).toEqual(["forbidden", 510]);
    const many = await scene.load("many", { listen: "fastcgi", instances: 500, ondemand: true });
    expect(many.state.phase).toBe("asleep");
  });

  test("a new conf file takes no place of a daemon that was found before, wherever its name sorts", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 1 } } });
    const web = await scene.load("web");
    const early = await scene.load("0-early");
    scene.rescan();
    expect([web.state.phase, early.state.phase]).toEqual(["running", "forbidden"]);
    expect(await scene.supervisor.start(early)).toMatchObject({
      reason: expect.stringMatching(/^cannot start "alice\/0-early": alice may have 1 daemons/),
    });
  });

  test("a budget that shrinks stops the daemons that exceed it, and one that grows starts them again", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 2 } } });
    const daemons = [await scene.load("a"), await scene.load("b")];
    scene.reload({ limits: { alice: { daemons: 1 } } });
    await scene.ports.clock.advance(200);
    expect(daemons.map(({ state }) => state.phase)).toEqual(["running", "forbidden"]);
    scene.reload({ limits: { alice: { daemons: 2 } } });
    await scene.ports.clock.advance(200);
    expect(daemons.map(({ state }) => state.phase)).toEqual(["running", "running"]);
  });

  test("the instances of all daemons of an owner are bounded together", async () => {
    const scene = new Scene();
    await scene.load("many", { listen: "fastcgi", instances: 510, ondemand: true });
    expect((await scene.load("pair", { listen: "fastcgi", instances: 2, ondemand: true })).state.phase).toBe("asleep");
    expect((await scene.load("more", { listen: "fastcgi", instances: 2, ondemand: true })).state.block?.reason).toBe(
      "the daemons of alice may have 512 instances together; the others have 512: request fewer",
    );
    expect((await scene.load("single", { listen: "fastcgi", ondemand: true })).state.phase).toBe("asleep");
  });

  test("a run goes on by its terms when the policy limits instances more than they drain", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 300 });
    for (const run of scene.ports.runs.live) run.client = true;
    await scene.after(10, scene.supervisor.scale(daemon, 299));
    scene.reload();
    expect(daemon.block).toBeUndefined();
  });

  test("with strict-limits=yes a daemon with a limit that no cgroup enforces is forbidden", async () => {
    const scene = new Scene({ settings: { strictLimits: "yes" } });
    expect((await scene.load("held", { memory: 64 << 20 })).block).toBeUndefined();
    scene.ports.machine.means = { controllers: new Set(), why: "no cgroup v2" };
    const loose = await scene.load("loose", { memory: 64 << 20 });
    expect(loose.state.block?.reason).toMatch(/strict-limits=yes: no cgroup v2$/);
    expect((await scene.load("free")).block).toBeUndefined();
  });
});

describe("admission of containers", () => {
  const image = imageName("php:8.4-fpm");
  /** Why the daemon with `image` and these keys must not run; undefined where it may. */
  const refusal = async (world: World, keys = {}, objection?: string): Promise<string | undefined> => {
    const scene = new Scene(world);
    scene.ports.machine.containerObjection = objection;
    const { block } = (await scene.load("web", { image, ...keys })).state;
    return block && `${block.kind}: ${block.reason}`;
  };

  test("a container needs a machine that has them", async () => {
    expect(await refusal({ images: ["php:*"] }, {}, "containers are not enabled here")).toBe(
      "invalid: image=: containers are not enabled here",
    );
  });

  test("a container needs a grant of its image, and of the network where it has one", async () => {
    expect(await refusal({})).toBe(
      "forbidden: no line of [images] lets daemons of alice use docker.io/library/php:8.4-fpm",
    );
    expect(await refusal({ images: ["php:*"] })).toBeUndefined();
    expect(await refusal({ images: ["php:*"] }, { network: "outbound" })).toBe(
      "forbidden: no line of [images] grants network=outbound to alice",
    );
    expect(await refusal({ images: ["php:*", "network=outbound"] }, { network: "outbound" })).toBeUndefined();
  });

  test("no container runs as root", async () => {
    const scene = new Scene({ images: ["php:*"] });
    scene.ports.machine.containerObjection = undefined;
    scene.ports.confs.write("root", "web", { image });
    scene.rescan();
    expect(scene.daemon("root/web").state.block).toEqual({
      kind: "forbidden",
      reason: "image=: no container runs as root; set user= to another account",
    });
  });

  test("a container is stopped when the policy no longer grants its image", async () => {
    const scene = new Scene({ images: ["php:*"] });
    scene.ports.machine.containerObjection = undefined;
    const daemon = await scene.load("web", { image });
    scene.reload({ images: ["busybox:*"] });
    await scene.ports.clock.advance(500);
    expect(daemon.state.phase).toBe("forbidden");
  });
});
