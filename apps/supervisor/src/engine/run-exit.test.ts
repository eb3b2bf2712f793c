import { expect, test } from "vitest";
import type { Exit } from "../core/exit.ts";
import type { RawExit } from "./ports/runs.ts";
import { exitOf } from "./run-exit.ts";

const code = (code: number, oomKilled = false): RawExit => ({ code, signal: undefined, oomKilled });
const signal = (signal: string, oomKilled = false): RawExit => ({ code: undefined, signal, oomKilled, peak: 70 });
const failure = { stage: "locking /x", reason: "no such directory" };

test.each<[string, RawExit, Exit]>([
  ["nobody saw is unknown", undefined, { how: "unknown" }],
  ["had a code has this code", code(7), { how: "code", code: 7 }],
  ["came by a signal has this signal", signal("SIGTERM"), { how: "signal", signal: "SIGTERM" }],
  ["its launch caused has the stage", { ...code(111), failure } as RawExit, { how: "launch-failed", ...failure }],
  [
    "the kernel caused for lack of memory has limit and peak",
    signal("SIGKILL", true),
    { how: "out-of-memory", limit: 64, peak: 70 },
  ],
  ["followed that of a child has its cause", code(1, true), { how: "code", code: 1, cause: "out-of-memory" }],
  ["was a success has no cause, whatever its children met", code(0, true), { how: "code", code: 0 }],
  ["came by another signal has no cause", signal("SIGTERM", true), { how: "signal", signal: "SIGTERM" }],
])("an exit that %s", (_, raw, exit) => {
  expect(exitOf(raw, 64)).toEqual(exit);
});
