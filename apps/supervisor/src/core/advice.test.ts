import { describe, expect, it } from "vitest";
import { advice, meaning } from "./advice.ts";
import type { Exit } from "./exit.ts";
import { initial, type State } from "./lifecycle.ts";

const concern = { id: "amy/blog", user: "www-data", logged: true };
const ended = (exit: Exit, change: Partial<State> = {}): State => ({
  ...initial,
  phase: "coolingdown",
  want: "up",
  run: 3,
  failures: 1,
  last: { run: 3, exit, failed: true },
  ...change,
});
const code = (number: number): Exit => ({ how: "code", code: number });
const launch = (stage: string): Exit => ({ how: "launch-failed", stage, reason: "refused" });

describe("advice", () => {
  it.each<[Exit, RegExp]>([
    [launch("entering /srv/x"), /^Make that directory and let www-data enter it, or correct dir=/],
    [launch("running /bin/ksh"), /^Correct shell=/],
    [launch("opening its log"), /output=discard/],
    [launch("joining cgroup"), /Only root/],
    [code(126), /^Let www-data execute that program/],
    [code(127), /^Install that program/],
    [code(1), /`dmctl amy\/blog log` shows its last lines\.$/],
    [{ how: "signal", signal: "SIGSEGV" }, /`dmctl amy\/blog log` shows its last lines\.$/],
  ])("advice after the exit %j matches %s", (exit, expected) => {
    expect(advice(ended(exit), concern)).toMatch(expected);
    expect(advice(ended(exit, { phase: "failed" }), concern)).toMatch(expected);
  });

  it("advice to an owner whose daemon has no log is to write output=log", () => {
    expect(advice(ended(code(1)), { ...concern, logged: false })).toMatch(/^Write output=log/);
  });

  it("advice on a service directory names the directory's files", () => {
    const service = { directory: "/home/amy/service/blog", logger: true };
    const said = (exit: Exit, state: Partial<State> = {}) => advice(ended(exit, state), { ...concern, service });
    expect(said(launch("entering /srv/x"))).toMatch(/^Let www-data enter that directory/);
    expect(said(code(126))).toMatch(/^Let www-data execute \/home\/amy\/service\/blog\/run/);
    expect(said(code(1))).toMatch(/its output went to \/home\/amy\/service\/blog\/log\/run/);
    const block = { kind: "forbidden", reason: "" } as const;
    expect(said(code(1), { phase: "forbidden", block })).toMatch(/^Correct \/home\/amy\/service\/blog\/env\/USER/);
  });

  it("advice on a blocked daemon names the block, not how the run ended", () => {
    const block = { kind: "forbidden", reason: "" } as const;
    expect(advice(ended(code(1), { phase: "forbidden", block }), concern)).toMatch(
      /^Correct user= with .*, or ask root to grant it in \[runs_as\]/,
    );
    expect(advice(ended(code(1), { phase: "forbidden", block: { ...block, bans: "owner" } }), concern)).toBe(
      "Ask root to put amy on the left of [runs_as] and to run `dmctl rescan`.",
    );
    expect(advice(ended(code(1), { phase: "invalid", block: { ...block, kind: "invalid" } }), concern)).toMatch(
      /`dmctl start amy\/blog` reads it again/,
    );
  });

  it("advice is empty when nothing is wrong", () => {
    expect(advice(initial, concern)).toBe("");
    expect(advice(ended(code(1), { phase: "running" }), concern)).toBe("");
    expect(advice(ended(code(1), { phase: "stopped", want: "down" }), concern)).toBe("");
    expect(advice(ended(code(1), { phase: "starting", failures: 0 }), concern)).toBe("");
    expect(advice(ended(code(1), { phase: "starting", failures: 1 }), concern)).not.toBe("");
  });

  it("advice is given only on runs later than the one that the caller knows", () => {
    expect(advice(ended(code(1), { phase: "starting" }), concern, 2)).not.toBe("");
    expect(advice(ended(code(1)), concern, 3)).toBe("");
  });
});

describe("meaning", () => {
  it.each<[Exit, RegExp]>([
    [code(0), /background/],
    [code(2), /program's own exit code/],
    [code(128), /program's own exit code/],
    [code(137), /signal 9 ended its program$/],
    [code(192), /signal 64 ended its program$/],
    [code(193), /program's own exit code/],
    [{ how: "signal", signal: "SIGKILL" }, /out of memory/],
    [
      { how: "signal", signal: "SIGKILL", cause: "stop-timeout" },
      /^it ignored TERM and was killed after stop-timeout$/,
    ],
    [{ how: "signal", signal: "SIGKILL", cause: "out-of-memory" }, /^the kernel killed it: out of memory$/],
    [{ how: "code", code: 137, cause: "out-of-memory" }, /^the kernel killed one of its processes: out of memory$/],
    [{ how: "signal", signal: "SIGSEGV" }, /fault/],
    [{ how: "signal", signal: "SIGTERM" }, /end was requested/],
    [launch("entering /x"), /never started/],
    [{ how: "unknown" }, /supervisor/],
    [code(127), /^$/],
    [{ how: "signal", signal: "SIGUSR1" }, /^$/],
  ])("the meaning of the exit %j matches %s", (exit, expected) => {
    expect(meaning(exit)).toMatch(expected);
  });
});
