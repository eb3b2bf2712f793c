import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { initial, type State } from "../core/lifecycle.ts";
import type { Daemon, TransitionListener } from "../engine/daemon.ts";
import { flushAndExit, logTransitions } from "./logging.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

type Line = readonly [level: string, about: Readonly<Record<string, unknown>>, phase: string];

/** The lines that one transition logs. */
const logged = (
  event: Parameters<TransitionListener>[2],
  before: Partial<State>,
  after: Partial<State>,
  cause?: string,
): Line[] => {
  const lines: Line[] = [];
  const at = (level: string) => (about: Readonly<Record<string, unknown>>, phase: string) => {
    lines.push([level, about, phase]);
  };
  const log = { debug: at("debug"), info: at("info"), warn: at("warn") };
  const listener = logTransitions(log as unknown as Parameters<typeof logTransitions>[0]);
  const instance = { key: { owner: { name: "anna" }, name: "blog", instance: 2 }, pid: 4711 };
  listener(
    { id: "anna/blog" } as Daemon,
    instance as unknown as Parameters<TransitionListener>[1],
    event,
    { ...initial, ...before },
    { ...initial, run: 3, ...after },
    cause,
  );
  return lines;
};

const ABOUT = { daemon: "anna/blog", owner: "anna", instance: 2, run: 3, pid: 4711 };

test("a transition to another phase is logged as info with its daemon, instance, run and pid", () => {
  expect(logged("launched", { phase: "starting" }, { phase: "running" })).toEqual([
    ["info", { ...ABOUT, event: "launched" }, "running"],
  ]);
});

test("a transition within a phase is logged for debugging only", () => {
  expect(logged("pause", { phase: "running" }, { phase: "running", paused: true })[0]?.[0]).toBe("debug");
});

test("a start that leaves a daemon asleep is logged for debugging only, and its launch as info", () => {
  expect(logged("start", { phase: "stopped" }, { phase: "asleep" })[0]?.[0]).toBe("debug");
  expect(logged("connection", { phase: "asleep" }, { phase: "starting" })[0]?.[0]).toBe("info");
});

test("a transition within a phase that has a reason is logged as info", () => {
  const [line] = logged("rollback", { phase: "running" }, { phase: "running" }, "not ready after 30s (ready-timeout)");
  expect(line).toEqual([
    "info",
    { ...ABOUT, event: "rollback", reason: "not ready after 30s (ready-timeout)" },
    "running",
  ]);
});

test.each(["failed", "forbidden", "invalid"] as const)("a transition to %s is a warning", (phase) => {
  expect(logged("deadline", { phase: "starting" }, { phase })[0]?.[0]).toBe("warn");
});

test("an exit is logged with its description as the reason", () => {
  const last = { run: 3, exit: { how: "code", code: 7 }, failed: true } as const;
  const [line] = logged("exited", { phase: "running" }, { phase: "coolingdown", last });
  expect(line?.[1]["reason"]).toMatch(/7/);
});

test("a blocked daemon is logged with the reason of the block", () => {
  const block = { kind: "invalid", reason: "blog.conf:2: unknown key" } as const;
  const [line] = logged("block", { phase: "stopped" }, { phase: "invalid", block });
  expect(line).toEqual(["warn", { ...ABOUT, event: "block", reason: "blog.conf:2: unknown key" }, "invalid"]);
});

test("the log writes one JSON object per line, from its level on, and all of a burst before the process ends", () => {
  const program = `
    import { flushAndExit, openLog } from ${JSON.stringify(join(import.meta.dirname, "logging.ts"))};
    const log = openLog("info");
    log.debug("hidden");
    for (let line = 0; line < 10000; line += 1) log.info({ line, daemon: "anna/" + "a".repeat(100) }, "shown");
    setInterval(() => undefined, 1000);
    flushAndExit(log);
  `;
  const options = { encoding: "utf8", maxBuffer: 16 << 20 } as const;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], options);
  const lines = stderr.trimEnd().split("\n");
  expect([status, lines.length]).toEqual([0, 10_000]);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ level: 30, line: 9999, msg: "shown" });
});

test("the process ends as soon as the log is written", () => {
  vi.useFakeTimers();
  const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  let written: (() => void) | undefined;
  const flush = (then: () => void): void => {
    written = then;
  };
  flushAndExit({ flush } as never);
  expect(exit).not.toHaveBeenCalled();
  written?.();
  expect(exit).toHaveBeenCalledExactlyOnceWith(0);
});

test("the process ends after a second even where nothing reads the log", () => {
  vi.useFakeTimers();
  const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  flushAndExit({ flush: () => undefined } as never);
  vi.advanceTimersByTime(999);
  expect(exit).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(exit).toHaveBeenCalledExactlyOnceWith(0);
});
