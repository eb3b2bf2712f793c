import { expect, test } from "vitest";
import { enforcement, type LimitSubject, shortcomings, strictObjection, summary } from "./enforcement.ts";
import { UNLIMITED } from "./resource-limits.ts";

const M = 1024 ** 2;
const all = { controllers: new Set(["memory", "pids", "cpu", "io"]), why: "" };
const none = { controllers: new Set<string>(), why: "no cgroup2 here" };
const amy: LimitSubject = {
  own: { memory: 64 * M, memoryHigh: 32 * M, processes: 5, cpu: 0.5, ioWeight: 10 },
  budget: { ...UNLIMITED, memory: 1024 * M },
  launched: undefined,
  contained: false,
  user: { name: "amy", uid: 1001 },
};
const lines = (subject: LimitSubject, means = none) =>
  enforcement(subject, means).map(({ key, value, budget, by }) => `${key}=${value}${budget ? " (budget)" : ""}: ${by}`);

test("with every controller the cgroup enforces all limits, without a warning", () => {
  expect(lines(amy, all)).toEqual([
    "memory=64 MiB: cgroup",
    "memory=1 GiB (budget): cgroup",
    "memory-high=32 MiB: cgroup",
    "processes=5: cgroup",
    "cpu=0.5: cgroup",
    "io-weight=10: cgroup",
  ]);
  const held = enforcement(amy, all);
  expect([summary(held, all), shortcomings(held, all), strictObjection(held, all)]).toEqual(["cgroup", [], undefined]);
});

test("each memory limit gives the reason when the cgroup limits memory but not swap", () => {
  const swapping = { ...all, swaps: "not counted" };
  const notes = enforcement(amy, swapping).map(({ key, by, note }) => `${key} ${by}: ${note}`);
  expect(notes.slice(0, 2)).toEqual(Array(2).fill("memory cgroup: swap is not limited (not counted)"));
  expect(notes.slice(2).join()).not.toContain("swap");
  expect(
    enforcement(amy, all)
      .map(({ note }) => note)
      .join(""),
  ).toBe("");
});

test("without a cgroup each limit names what enforces it, and an unenforced limit gives a warning, or an objection with strict-limits", () => {
  expect(lines(amy)).toEqual([
    "memory=64 MiB: rlimit+watch",
    "memory=1 GiB (budget): rlimit+watch",
    "memory-high=32 MiB: nothing",
    "processes=5: rlimit",
    "cpu=0.5: nothing",
    "io-weight=10: nothing",
  ]);
  const held = enforcement(amy, none);
  expect(summary(held, none)).toBe("rlimit+watch+nothing (no cgroup2 here)");
  expect(shortcomings(held, none)).toEqual([
    "memory-high=32 MiB is not enforced: no cgroup2 here",
    "processes=5 counts all processes of amy, of every daemon, because an rlimit enforces it: no cgroup2 here",
    "cpu=0.5 is not enforced: no cgroup2 here",
    "io-weight=10 is not enforced: no cgroup2 here",
  ]);
  expect(strictObjection(held, none)).toBe(
    "no cgroup can enforce memory=64 MiB here, and strict-limits=yes: no cgroup2 here",
  );
});

test("a memory limit alone is held by rlimit and watch; where there is no limit there is nothing to say", () => {
  const held = enforcement({ ...amy, own: { ...UNLIMITED, memory: M }, budget: UNLIMITED }, none);
  expect(summary(held, none)).toBe("rlimit+watch (no cgroup2 here)");
  expect(summary([], none)).toBe("");
  expect(strictObjection([], none)).toBeUndefined();
});

test("each available controller enforces its limits when others are missing", () => {
  const some = { controllers: new Set(["memory", "pids"]), why: "no cpu" };
  expect(summary(enforcement(amy, some), some)).toBe("cgroup+nothing (no cpu)");
});

test("no rlimit counts the processes of root", () => {
  const root = { ...amy, user: { name: "root", uid: 0 } };
  expect(lines(root)).toContain("processes=5: nothing");
  expect(shortcomings(enforcement(root, none), none)[1]).toMatch(/^processes=5 is not enforced: no rlimit counts/);
});

test("what an rlimit holds is pending until the restart, and so is more memory than the rlimit allows", () => {
  const pending = (launched: Partial<LimitSubject["own"]>, means = none) =>
    enforcement({ ...amy, launched: { ...amy.own, ...launched } }, means)
      .filter((limit) => limit.pending)
      .map(({ key }) => key);
  expect(pending({})).toEqual([]);
  expect(pending({ processes: 6 })).toEqual(["processes"]);
  expect(pending({ processes: undefined })).toEqual(["processes"]);
  expect(pending({ memory: 32 * M })).toEqual(["memory"]);
  expect(pending({ memory: 128 * M })).toEqual([]);
  expect(pending({ memory: undefined, cpu: 1 })).toEqual([]);
  expect(pending({ processes: 6, memory: 32 * M }, all)).toEqual([]);
  const gone = { ...amy, own: UNLIMITED, budget: UNLIMITED, launched: amy.own };
  expect(lines(gone)).toEqual(["memory=no limit: rlimit+watch", "processes=no limit: rlimit"]);
});

test("where no cgroup does, the engine enforces the limits of each container, but not the budget of the owner", () => {
  const contained: LimitSubject = { ...amy, contained: true, launched: { ...amy.own, cpu: 1 } };
  expect(lines(contained)).toEqual([
    "memory=64 MiB: engine",
    "memory=1 GiB (budget): rlimit+watch",
    "memory-high=32 MiB: nothing",
    "processes=5: engine",
    "cpu=0.5: engine",
    "io-weight=10: nothing",
  ]);
  const held = enforcement(contained, none);
  expect(held.filter(({ pending }) => pending).map(({ key, note }) => `${key}: ${note}`)).toEqual([
    "cpu: for each container; restart to apply",
  ]);
  expect(summary(held, none)).toBe("engine+rlimit+watch+nothing (no cgroup2 here)");
  const own: LimitSubject = { ...contained, own: { ...UNLIMITED, memory: 64 * M }, budget: UNLIMITED };
  expect(strictObjection(enforcement(own, none), none)).toBeUndefined();
});
