/** `dmctl tai64nlocal` beside its oracles: s6-tai64nlocal for labels of s6-log, Debian's tai64nlocal for those of multilog. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CHECKOUT, run, succeed } from "../program.ts";
import { compare, type Side } from "./comparison.ts";

const DMCTL = [join(CHECKOUT, "node_modules/.bin/node"), join(CHECKOUT, "apps/dmctl/src/main.ts"), "tai64nlocal"];
const OLD = "/usr/bin/tai64nlocal";

/** Output of a filter; the exit code is undefined where a signal ended it. */
const filtered = async (argv: readonly string[], input: string, zone = "UTC") => {
  const { code, stdout } = await run(argv, { input, env: { TZ: zone, PATH: "/usr/bin:/bin" } });
  return { code, stdout };
};
const shown = (side: Side, input: string, zone?: string) =>
  filtered(side === "old" ? [OLD] : [...DMCTL, "--multilog"], input, zone);

const label = (tai: number, nanoseconds: number): string =>
  `@${(2n ** 62n + BigInt(tai)).toString(16).padStart(16, "0")}${nanoseconds.toString(16).padStart(8, "0")}`;

const FIRST = Date.UTC(1972, 0) / 1000;
const LAST = Date.UTC(2030, 0) / 1000;
/** Every 1st of January and of July, when a leap second can have come, with the seconds around it; then others. */
const turns = Array.from({ length: 2 * 58 }, (_, half) => Date.UTC(1972, 6 * half) / 1000).flatMap((unix) =>
  [9, 10, 20, 36, 37].map((ahead) => unix + ahead),
);
const leaps = [
  ...["1972-07", "1973-01", "1974-01", "1975-01", "1976-01", "1977-01", "1978-01", "1979-01", "1980-01", "1981-07"],
  ...["1982-07", "1983-07", "1985-07", "1988-01", "1990-01", "1991-01", "1992-07", "1993-07", "1994-07", "1996-01"],
  ...["1997-07", "1999-01", "2006-01", "2009-01", "2012-07", "2015-07", "2017-01"],
].flatMap((month, before) => [-1, 0, 1].map((next) => Date.parse(`${month}-01T00:00:00Z`) / 1000 + 10 + before + next));
const rest = 1000 - turns.length - leaps.length;
const others = Array.from({ length: rest }, (_, index) => Math.floor(FIRST + 10 + ((LAST - FIRST) * index) / rest));
/** The same at each run of the test. */
const stamped = [...turns, ...leaps, ...others].map(
  (tai, index) =>
    `${label(tai, (index * 7_654_321) % 1_000_000_000)}${[" words", "", ":x", "\ttab", " é"][index % 5]}\n`,
);
const plain = ["\n", "plain\n", " @4000000037c219bf2ef02e94 in the middle\n", "x@\n", `${"long ".repeat(5000)}\n`];
const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];

const directory = mkdtempSync(join(tmpdir(), "dmhost-tai64n-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("the stamps of these tests are 1,000, from 1972 to 2030", () => {
  expect(stamped).toHaveLength(1000);
  expect(leaps).toHaveLength(3 * 27);
});

test.each(ZONES)("1,000 labels of s6-log are shown in %s as s6-tai64nlocal shows them", async (zone) => {
  const input = stamped.join("");
  const oracle = await filtered(["/usr/bin/s6-tai64nlocal"], input, zone);
  expect(new Set(oracle.stdout.match(/^\S+ \S+:60/gm)).size).toBe(27);
  expect(await filtered(DMCTL, input, zone)).toEqual(oracle);
});

test("1,000 labels of s6-log are shown in UTC by --utc as s6-tai64nlocal -g shows them", async () => {
  const input = stamped.join("");
  const ours = await filtered([...DMCTL, "--utc"], input, "Asia/Kathmandu");
  expect(ours).toEqual(await filtered(["/usr/bin/s6-tai64nlocal", "-g"], input));
});

test.each(ZONES)("1,000 labels of multilog are shown in %s as Debian's tai64nlocal shows them", async (zone) => {
  const { ours } = await compare((side) => shown(side, stamped.join(""), zone), undefined);
  expect(ours.stdout.split("\n")).toHaveLength(1001);
});

test.each([
  ["s6-log", ["/usr/bin/s6-log", "t"], [], ["/usr/bin/s6-tai64nlocal"]],
  ["multilog", ["/usr/bin/multilog", "t"], ["--multilog"], [OLD]],
] as const)("a stamp that %s writes now is shown as the present time", async (name, logger, options, oracle) => {
  const before = Date.now();
  await run([...logger, join(directory, name)], { input: "now\n" });
  const after = Date.now();
  const line = readFileSync(join(directory, name, "current"), "utf8");
  const ours = await filtered([...DMCTL, ...options], line);
  expect(ours).toEqual(await filtered(oracle, line));
  const [, day, time] = /^(\S+) (\S+) now\n$/.exec(ours.stdout) ?? [];
  const moment = Date.parse(`${day}T${time?.slice(0, 12)}Z`);
  expect([before <= moment, moment <= after]).toEqual([true, true]);
});

test("the label of tai64nlocal(8) is shown with leap seconds, and with --multilog without", async () => {
  const line = "@4000000037c219bf2ef02e94\n";
  const leapSeconds = { difference: "tai64n-leap-seconds" };
  const attempt = (side: Side) => filtered(side === "old" ? [OLD] : DMCTL, line);
  await compare(attempt, leapSeconds.difference, {
    old: { code: 0, stdout: "1999-08-24 04:04:05.787492500\n" },
    ours: { code: 0, stdout: "1999-08-24 04:03:43.787492500\n" },
  });
  await compare((side) => shown(side, line), undefined);
});

test("the command tai64nlocal passes --multilog on", async () => {
  const told = join(directory, "bin");
  await succeed(
    "sh",
    "-c",
    `mkdir ${told} && printf '#!/bin/sh\necho "$@"\n' >${told}/dmctl && chmod 755 ${told}/dmctl`,
  );
  const env = { PATH: `${told}:/usr/bin:/bin` };
  const { stdout } = await run([join(CHECKOUT, "daemontools/tai64nlocal"), "--multilog"], { env });
  expect(stdout).toBe("tai64nlocal --multilog\n");
});

test.each(plain)("a line without a label in front passes unchanged (%#)", async (line) => {
  await compare((side) => shown(side, `${stamped[0]}${line}${stamped[1]}`), undefined);
  expect(await filtered(DMCTL, line)).toEqual(await filtered(["/usr/bin/s6-tai64nlocal"], line));
});

const HEX = "4000000037c219bf2ef02e94";
const MALFORMED = [
  "@\n",
  "@ x\n",
  "@abc\n",
  "@@\n",
  ...Array.from({ length: 23 }, (_, digits) => `@${HEX.slice(0, digits + 1)}\n`),
  `@${HEX}f too long\n`,
  `@${HEX.toUpperCase()} x\n`,
  `@@${HEX} x\n`,
  `@${"f".repeat(16)}00000000 x\n`,
  `@${"0".repeat(24)} x\n`,
  `@7${"f".repeat(15)}00000000 x\n`,
  "@400000x037c219bf2ef02e94 x\n",
  `@${"-1".repeat(12)} x\n`,
  `@${HEX.slice(0, 23)}\0 x\n`,
];

test.each(MALFORMED)("a malformed label crashes the old program and passes ours (%#: %j)", async (line) => {
  const malformed = { difference: "tai64n-malformed" };
  await compare((side) => shown(side, line), malformed.difference, {
    old: { code: undefined, stdout: "" },
    ours: { code: 0, stdout: line },
  });
});

test.each(["ffffffff", "3b9aca00"])(
  "a label of %s nanoseconds, more than a second has, is no label",
  async (nanoseconds) => {
    const line = `@4000000037c219bf${nanoseconds} x\n`;
    const beyond = { difference: "tai64n-nanoseconds" };
    await compare((side) => shown(side, line), beyond.difference, {
      old: { code: 0, stdout: `1999-08-24 04:04:05.${Number.parseInt(nanoseconds, 16)} x\n` },
      ours: { code: 0, stdout: line },
    });
  },
);

test("a label at the end of the input is shown", async () => {
  const end = { difference: "tai64n-end" };
  await compare((side) => shown(side, `@${HEX}`), end.difference, {
    old: { code: 0, stdout: "" },
    ours: { code: 0, stdout: "1999-08-24 04:04:05.787492500" },
  });
  await compare((side) => shown(side, `@${HEX} x`), undefined);
});

test("a line of 300 MB takes no more memory than a small log, and a closed pipe ends the filter with exit code 0", async () => {
  const child = spawn(
    "/bin/sh",
    ["-c", 'head -c 64000000 /dev/zero | tr "\\0" x | "$@" | head -c 10', "sh", ...DMCTL],
    {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let text = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
  });
  const [code] = await once(child, "close");
  expect([code, text, errors]).toEqual([0, "xxxxxxxxxx", ""]);
  const bounded = await run([
    "/bin/sh",
    "-c",
    'head -c 300000000 /dev/zero | tr "\\0" x | NODE_OPTIONS=--max-old-space-size=64 "$@" | wc -c',
    "sh",
    ...DMCTL,
  ]);
  expect(bounded.stdout.trim()).toBe("300000000");
});
