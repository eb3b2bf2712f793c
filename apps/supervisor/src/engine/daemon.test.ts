import { describe, expect, test } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import type { Terms } from "../core/terms.ts";
import { Daemon } from "./daemon.ts";
import type { OwnerContext } from "./owner-context.ts";
import { fakePorts } from "./ports/ports.fake.ts";

const owner = { name: "alice", uid: 1001, gid: 1001, home: "/home/alice", shell: "/bin/sh" };
const ownerContext: OwnerContext = {
  budget: {},
  earliest: (now) => now,
  restarted: () => undefined,
  logShare: () => undefined,
};

const scene = (definition: Partial<Definition> = {}) => {
  const ports = fakePorts();
  const file = ports.confs.write("alice", "web", definition);
  const daemon = new Daemon({ owner, name: "web" }, file, ports, () => undefined, ownerContext);
  const terms: Terms = {
    definition: { ...DEFAULTS, start: "exec program", ...definition },
    fingerprint: file.fingerprint,
    account: owner,
    logDirectory: "/home/alice/.daemon-manager/logs/web",
    nginxGroup: "nginx",
  };
  return { ports, daemon, terms };
};

describe("a daemon", () => {
  test("starts, reports that it runs, and stops", async () => {
    const { ports, daemon, terms } = scene();
    daemon.offer(terms);
    const since = daemon.runs();
    daemon.feed({ type: "start" });
    const up = daemon.outcome("up", since);
    await ports.clock.advance(200);
    expect(await up).toEqual({ ok: true });
    expect(daemon.state.phase).toBe("running");
    daemon.feed({ type: "stop" });
    const down = daemon.outcome("down", daemon.runs());
    await ports.clock.advance(200);
    expect(await down).toEqual({ ok: true });
    expect(daemon.state.phase).toBe("stopped");
    expect(ports.runs.live).toEqual([]);
  });
});
