/** Requests about one daemon over the control API. */
import { afterEach, expect, test } from "vitest";
import { FakeEngine, fakeDaemon, fakeSurroundings, serve } from "../engine.fake.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const api = async (daemon = fakeDaemon("amy/blog")) => {
  const engine = new FakeEngine(daemon);
  const { ask, close } = await serve(engine, fakeSurroundings());
  closing.push(close);
  return { ask, engine };
};

test("a signal goes to a running daemon, and a stopped one has no process for it", async () => {
  const running = await api(fakeDaemon("amy/blog", { state: { phase: "running" } }));
  expect((await running.ask("amy", "POST /v1/daemons/blog/kill", { signal: "HUP" })).text).toBe("{}");
  const stopped = await api();
  const { status, body } = await stopped.ask("amy", "POST /v1/daemons/blog/kill", { signal: "HUP" });
  expect([status, body.code]).toEqual([409, "not-applicable"]);
  expect(body.message).toContain("SIGHUP");
});

test("each request that changes a daemon reaches the engine by its name", async () => {
  const { ask, engine } = await api();
  const acts: unknown[] = [];
  engine.act = (verb, { id }, size) => {
    acts.push([verb, id, size]);
    return { ok: true };
  };
  for (const verb of ["start", "stop", "restart", "once", "pause", "continue", "exit"]) {
    expect((await ask("amy", `POST /v1/daemons/blog/${verb}`)).body).toMatchObject({ ok: true });
  }
  await ask("amy", "POST /v1/daemons/blog/scale", { instances: 64 });
  expect(acts.map((one) => (one as unknown[])[0])).toEqual([
    ...["start", "stop", "restart", "once", "pause", "continue", "exit"],
    "scale",
  ]);
  expect(acts.at(-1)).toEqual(["scale", "amy/blog", 64]);
});
