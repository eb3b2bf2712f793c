/** Every key, policy value and option that takes a number with a unit takes the same spellings of it. */
import { describe, expect, it } from "vitest";
import { readInvocation } from "../apps/dmctl/src/commands/invocation.ts";
import { COMMANDS } from "../apps/dmctl/src/commands/table.ts";
import { readView } from "../apps/dmctl/src/log/log-view.ts";
import { readMoment } from "../apps/dmctl/src/moment.ts";
import { readFlags } from "../apps/supervisor/src/app/flags.ts";
import { parseDaemonFile } from "../apps/supervisor/src/conf/daemon-file.ts";
import { DAEMON_KEYS } from "../apps/supervisor/src/conf/daemon-keys.ts";
import { effectiveSettings } from "../apps/supervisor/src/conf/effective-settings.ts";
import { parsePolicy } from "../apps/supervisor/src/conf/policy-file.ts";
import { SETTINGS_KEYS } from "../apps/supervisor/src/conf/settings-keys.ts";
import { BUDGET_KEYS, BUDGET_QUANTITIES, writeShare } from "../apps/supervisor/src/core/budget.ts";
import { type Quantity, writeDuration } from "../apps/supervisor/src/core/units.ts";

type Kind = Quantity["kind"];

/** One value of each kind that is within the bounds of every key, as it is written, with spellings of it. */
const SPELLINGS: Record<Kind, { value: string; accepted: readonly string[]; refused: readonly string[] }> = {
  size: {
    value: "64 MiB",
    accepted: [
      ...["67108864", "67108864B", "67108864 B", "65536K", "65536 k", "64M", "64m", "64 M", "64\tm", "064M"],
      ...["64MiB", "64 MiB", "64mib", "65536 KiB", "0.0625G", "0.0625 GiB", "64.0M"],
    ],
    refused: ["", "M", "64MB", "64Mi", "64 M B", "-64M", "+64M", "64,0M", "64.M", ".5G", "1e8", "0x4000000", "64s"],
  },
  duration: {
    value: "1m30s",
    accepted: [
      ...["90", "90.0", "090", "90s", "90 s", "90\ts", "1m30s", "1m 30s", "1 m 30 s", "30s1m", "1m15s15s"],
      ...["1.5m", "1.5 m", "0.025h", "90000ms", "89s1000ms", "0h1m30s", "0w0d90s"],
    ],
    refused: [
      "",
      "s",
      "-90s",
      "+90s",
      "90S",
      "1.5M",
      "1m30",
      "30 1m",
      "90sec",
      "1min",
      "1'30",
      "1e2",
      "0x5a",
      "90.s",
      "90y",
    ],
  },
  count: {
    value: "8",
    accepted: ["8", "08"],
    refused: ["", "-8", "+8", "8.0", "8.5", "0.5K", "8B", "8s", "0x8", "eight", "8 8"],
  },
  cores: {
    value: "1.5",
    accepted: ["1.5", "1.50", "01.5"],
    refused: ["", "-1.5", "1,5", "1.5K", "150%", "1.", "3/2"],
  },
};

/** A place that takes values of a kind: the value that a text stands for, as it is written; undefined where refused. */
interface Place {
  readonly name: string;
  readonly kind: Kind;
  readonly read: (text: string) => string | undefined;
}

const confKey = (key: string, kind: Kind): Place => ({
  name: key,
  kind,
  read: (text) => {
    const { value } = parseDaemonFile(`start = x\n${key} = ${text}\n`);
    return value && effectiveSettings(value).find((setting) => setting.key === key)?.value;
  },
});

/** The value that a command line is read as; undefined where it is refused. */
const unlessRefused = (read: () => string): string | undefined => {
  try {
    return read();
  } catch {
    return undefined;
  }
};

const PLACES: readonly Place[] = [
  ...DAEMON_KEYS.flatMap(({ key, kind }) => (kind === undefined ? [] : [confKey(key, kind)])),
  ...BUDGET_KEYS.map((key) => ({
    name: `${key} of [limits]`,
    kind: BUDGET_QUANTITIES[key].kind,
    read: (text: string) => {
      const amount = parsePolicy(`[limits]\n*: ${key} = ${text}\n`).value?.limits[0]?.amounts.get(key);
      return amount === undefined ? undefined : writeShare(key, amount);
    },
  })),
  {
    name: "dmctl log --since",
    kind: "duration",
    read: (text) => {
      const moment = readMoment(text, 0);
      return moment === undefined ? undefined : writeDuration(-moment);
    },
  },
  {
    name: "dmctl log --lines",
    kind: "count",
    read: (text) =>
      unlessRefused(
        () => `${readView({ given: new Set(["lines"]), values: { lines: text } }, false, undefined, 0).lines}`,
      ),
  },
  {
    name: "dmctl scale",
    kind: "count",
    read: (text) => unlessRefused(() => `${readInvocation(COMMANDS, ["scale", "web", text]).size}`),
  },
  {
    name: "--reload-interval of the supervisor",
    kind: "duration",
    read: (text) =>
      unlessRefused(() => writeDuration(readFlags([`--reload-interval=${text}`], () => false).reloadInterval)),
  },
];

const named = (places: readonly Place[]) => places.map((place) => [place.name, place] as const);

describe("the grammar of sizes, durations and counts", () => {
  it.each(named(PLACES))("%s accepts every spelling of a size, duration or count", (_name, { kind, read }) => {
    const { value, accepted } = SPELLINGS[kind];
    expect(accepted.map((text) => `${text} is ${read(text)}`)).toEqual(accepted.map((text) => `${text} is ${value}`));
    expect(read(value)).toBe(value);
  });

  it.each(named(PLACES))("%s refuses every wrong spelling of a size, duration or count", (_name, { kind, read }) => {
    const { refused } = SPELLINGS[kind];
    expect(refused.filter((text) => read(text) !== undefined)).toEqual([]);
  });

  it.each(named(PLACES.filter(({ name }) => name.startsWith("limit-"))))(
    "both amounts of %s accept every spelling of a value",
    (_name, { kind, read }) => {
      const { value, accepted, refused } = SPELLINGS[kind];
      expect(accepted.filter((text) => read(`${text}:unlimited`) !== `${value}:unlimited`)).toEqual([]);
      expect(accepted.filter((text) => read(`${text} : ${text}`) !== value)).toEqual([]);
      expect(refused.filter((text) => read(`${text}:unlimited`) !== undefined)).toEqual([]);
    },
  );

  it("no key without a quantity accepts a number with a unit", () => {
    // Free text.
    const others = DAEMON_KEYS.filter(
      ({ key, kind }) => kind === undefined && !["start", "user", "image", "index", "export"].includes(key),
    );
    const numbers = ["64M", "64 MiB", "65536", "1m30s", "90 s"];
    expect(others.length).toBeGreaterThan(10);
    for (const { key } of others) {
      const accepted = numbers.filter((text) => parseDaemonFile(`start = x\n${key} = ${text}\n`).value !== undefined);
      expect([key, accepted]).toEqual([key, []]);
    }
    for (const { key } of SETTINGS_KEYS.filter(({ key }) => key !== "nginx-group")) {
      const accepted = numbers.filter((text) => parsePolicy(`[settings]\n${key} = ${text}\n`).value !== undefined);
      expect([key, accepted]).toEqual([key, []]);
    }
  });

  it("sizes, durations and counts of conf files, the policy and dmctl share one grammar", () => {
    const kinds = (places: readonly Place[]) => new Set(places.map(({ kind }) => kind));
    expect(kinds(PLACES)).toEqual(new Set(["size", "duration", "count", "cores"]));
    expect(PLACES.length).toBeGreaterThan(30);
  });
});

describe("a bare ~", () => {
  const PATHS = DAEMON_KEYS.filter(({ expected }) => expected.includes('"~/"'));

  it.each(PATHS.map(({ key }) => [key]))("a bare ~ is the home of the owner in %s, as ~/ is", (key) => {
    for (const path of ["~", "~/"]) {
      // A docroot does nothing without a host.
      expect(confKey(key, "size").read(path)).toBe(path);
    }
  });

  it("a bare ~ is in every key whose value is a path below the home", () => {
    expect(PATHS.map(({ key }) => key)).toEqual(["dir", "env-dir", "env-file", "chroot", "lock", "docroot"]);
  });

  it.each(SETTINGS_KEYS.filter(({ expected }) => expected.includes('"~/"')).map(({ key }) => [key]))(
    "a bare ~ is the home of the owner in %s of [settings], as ~/ is",
    (key) => {
      for (const path of ["~", "~/"]) {
        const { value, warnings } = parsePolicy(`[settings]\n${key} = ${path}\n`);
        expect([Object.values(value?.settings ?? {}).includes(path), warnings]).toEqual([true, []]);
      }
    },
  );
});
