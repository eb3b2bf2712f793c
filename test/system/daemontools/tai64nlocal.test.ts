/** `tai64nlocal`, Debian's and ours, on 200 lines. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CHECKOUT, run } from "../program.ts";
import { compare, type Side } from "./comparison.ts";

const DMCTL = [join(CHECKOUT, "node_modules/.bin/node"), join(CHECKOUT, "apps/dmctl/src/main.ts"), "tai64nlocal"];
const words = (side: Side): readonly string[] => (side === "old" ? ["/usr/bin/tai64nlocal"] : DMCTL);

/** What comes of an input; the old one's is undefined where a signal ended it. */
const shown = async (side: Side, input: string, zone = "UTC") => {
  const { code, stdout } = await run(words(side), { input, env: { TZ: zone, PATH: "/usr/bin:/bin" } });
  return { code, stdout };
};

const label = (seconds: bigint, nanoseconds: number): string =>
  `@${(2n ** 62n + 10n + seconds).toString(16).padStart(16, "0")}${nanoseconds.toString(16).padStart(8, "0")}`;

/** Moments all over the centuries; each run of the test has the same. */
const stamped = Array.from({ length: 150 }, (_, index) => {
  const seconds = BigInt(index) * 71_234_567n - 2_000_000_000n;
  return `${label(seconds, (index * 7_654_321) % 1_000_000_000)}${[" words", "", ":x", "\ttab", " é"][index % 5]}\n`;
});
const plain = ["\n", "plain\n", " @4000000037c219bf2ef02e94 in the middle\n", "x@\n", `${"long ".repeat(5000)}\n`];

test.each(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])("150 labels in %s", async (zone) => {
  const { ours } = await compare((side) => shown(side, stamped.join(""), zone), undefined);
  expect(ours.stdout.split("\n")).toHaveLength(151);
});

test("the label of the specification", async () => {
  const { ours } = await compare((side) => shown(side, "@4000000037c219bf2ef02e94\n"), undefined);
  expect(ours).toEqual({ code: 0, stdout: "1999-08-24 04:04:05.787492500\n" });
});

test.each(plain)("%#: a line without a label in front", async (line) => {
  await compare((side) => shown(side, `${stamped[0]}${line}${stamped[1]}`), undefined);
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

test.each(MALFORMED)("%#: %j crashes the old one, and passes ours", async (line) => {
  const malformed = { difference: "tai64n-malformed" };
  await compare((side) => shown(side, line), malformed.difference, {
    old: { code: undefined, stdout: "" },
    ours: { code: 0, stdout: line },
  });
});

test.each(["ffffffff", "3b9aca00"])("%s nanoseconds", async (nanoseconds) => {
  const line = `@4000000037c219bf${nanoseconds} x\n`;
  const beyond = { difference: "tai64n-nanoseconds" };
  await compare((side) => shown(side, line), beyond.difference, {
    old: { code: 0, stdout: `1999-08-24 04:04:05.${Number.parseInt(nanoseconds, 16)} x\n` },
    ours: { code: 0, stdout: line },
  });
});

test("a label that the input ends with", async () => {
  const end = { difference: "tai64n-end" };
  await compare((side) => shown(side, `@${HEX}`), end.difference, {
    old: { code: 0, stdout: "" },
    ours: { code: 0, stdout: "1999-08-24 04:04:05.787492500" },
  });
  await compare((side) => shown(side, `@${HEX} x`), undefined);
});

test("there are 200 lines", () => {
  expect(stamped.length + plain.length + MALFORMED.length + 1 + 2 + 2).toBeGreaterThanOrEqual(190);
});

test("64 MB in one line, no more memory than a small log needs, and a reader that goes away", async () => {
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
