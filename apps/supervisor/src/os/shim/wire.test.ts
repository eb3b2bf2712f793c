import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { itemsIn } from "./objects.ts";
import { planFields, RESOURCE, type ShimPlan } from "./plan.ts";
import {
  decodeFields,
  encodeFrame,
  encodeNumber,
  KIND,
  LARGEST_FRAME,
  MAGIC,
  numberOf,
  TAG,
  takeFrames,
  textOf,
  VERSIONS,
} from "./wire.ts";

const header = (name: string): string => readFileSync(`${import.meta.dirname}/../../../../../shim/${name}.h`, "utf8");
/** Constants of a C header with this prefix, without the prefix. */
const constants = (name: string, prefix: string): Record<string, number> =>
  Object.fromEntries(
    [...header(name).matchAll(new RegExp(`\\b${prefix}_(\\w+) = (\\w+)`, "g"))].map(([, word = "", number]) => [
      word,
      Number(number),
    ]),
  );

test("the numbers of frames, fields, objects and versions are those of the shim", () => {
  expect(constants("wire", "KIND")).toEqual(KIND);
  expect(constants("wire", "TAG")).toEqual(TAG);
  expect(header("wire")).toContain(`#define WIRE_MAGIC "${MAGIC}"`);
  expect(header("wire")).toContain(`#define WIRE_HIGHEST ${VERSIONS.highest}\n`);
  expect(header("wire")).toContain(`#define LARGEST_FRAME (${LARGEST_FRAME / 1024} * 1024)`);
});

test("a frame is taken once it is complete, and the rest is kept", () => {
  const bytes = encodeFrame(KIND.NOTE, [
    [TAG.NAME, "é"],
    [TAG.NICE, -5],
    [TAG.KEEPS, true],
    [TAG.BYTES, Buffer.from([0, 1])],
  ]);
  for (let length = 0; length < bytes.length; length += 1) {
    const { frames, rest } = takeFrames(bytes.subarray(0, length));
    expect([frames.length, rest.length]).toEqual([0, length]);
  }
  const { frames, rest } = takeFrames(Buffer.concat([bytes, bytes, bytes.subarray(0, 3)]));
  expect([frames.length, rest.length]).toEqual([2, 3]);
  const [{ kind, fields } = { kind: 0, fields: [] }] = frames;
  expect([kind, textOf(fields, TAG.NAME), numberOf(fields, TAG.KEEPS)]).toEqual([KIND.NOTE, "é", 1]);
  expect(fields.find(({ tag }) => tag === TAG.NICE)?.value.readBigInt64LE()).toBe(-5n);
  expect([numberOf(fields, TAG.BYTES), numberOf(fields, TAG.PID)]).toEqual([undefined, undefined]);
});

test("bytes that are no frames or no fields are refused", () => {
  expect(() => takeFrames(Buffer.from([0, 0, 0, 0]))).toThrow("a frame of 0 bytes");
  expect(() => takeFrames(Buffer.from([0, 0, 0, 1]))).toThrow("a frame of 16777216 bytes");
  expect(() => decodeFields(Buffer.from([1, 0, 9, 0, 0, 0, 1]))).toThrow("malformed");
  expect(() => decodeFields(Buffer.from([1, 0, 9]))).toThrow("malformed");
});

test("a request that is too long for the shim is refused before it is sent", () => {
  expect(() => encodeFrame(KIND.NOTE, [[TAG.BYTES, Buffer.alloc(LARGEST_FRAME)]])).toThrow("at most 262144");
});

test("a plan becomes fields, each of its parts by its own tag", () => {
  const plan: ShimPlan = {
    words: ["php-cgi", ""],
    shell: "/bin/sh",
    start: "exec php-cgi",
    environment: new Map([["A", "b"]]),
    directory: "/home/amy",
    account: { uid: 1, gid: 2, groups: [2, 3] },
    limits: [{ resource: "nofile", soft: 5, hard: "unlimited" }],
    descriptors: new Map([[0, { kind: "socket", name: "web" }]]),
  };
  const { frames } = takeFrames(encodeFrame(KIND.LAUNCH, planFields("amy/site", plan)));
  const fields = frames[0]?.fields ?? [];
  const values = (tag: number): Buffer[] => fields.filter((each) => each.tag === tag).map(({ value }) => value);
  expect(values(TAG.WORD).map(String)).toEqual(["php-cgi", ""]);
  expect(values(TAG.VARIABLE).map(String)).toEqual(["A=b"]);
  expect(values(TAG.GROUP).map((each) => each.readBigUInt64LE())).toEqual([2n, 3n]);
  const limit = Buffer.concat([encodeNumber(RESOURCE.nofile), encodeNumber(5), encodeNumber(2n ** 64n - 1n)]);
  expect(values(TAG.RLIMIT)).toEqual([limit]);
  expect(values(TAG.DESCRIPTOR)).toEqual([Buffer.concat([encodeNumber(0), encodeNumber(1), Buffer.from("web")])]);
  expect([values(TAG.JAIL), values(TAG.NICE), values(TAG.KEEPS)]).toEqual([[], [], []]);
});

/** A field of LIST. */
const item = (fields: Parameters<typeof encodeFrame>[1]) => ({
  tag: TAG.ITEM,
  value: encodeFrame(KIND.REPLY, fields).subarray(5),
});

test("objects are read out of LIST, and those of a kind that a newer shim may have are passed over", () => {
  const items = [
    item([
      [TAG.OBJECT, 1],
      [TAG.NAME, "run"],
      [TAG.PID, 7],
      [TAG.STATE, 4],
      [TAG.EXIT_SIGNAL, 15],
    ]),
    item([
      [TAG.OBJECT, 1],
      [TAG.NAME, "failed"],
      [TAG.STATE, 4],
      [TAG.FAILURE, 2],
      [TAG.STAGE, "entering /x"],
      [TAG.REASON, "no"],
      [TAG.EXIT_CODE, 111],
    ]),
    item([
      [TAG.OBJECT, 2],
      [TAG.NAME, "web"],
      [TAG.PATH, "/web"],
      [TAG.INODE, 8],
      [TAG.WATCH, 3],
      [TAG.CLIENT, 1],
    ]),
    item([
      [TAG.OBJECT, 9],
      [TAG.NAME, "unknown"],
    ]),
    item([
      [TAG.OBJECT, 1],
      [TAG.NAME, "of an unknown state"],
      [TAG.STATE, 9],
    ]),
  ];
  expect(itemsIn(items)).toMatchObject([
    { kind: "run", name: "run", pid: 7, state: "exited", end: { code: undefined, signal: 15 } },
    { name: "failed", failure: { stage: "entering /x", reason: "no", errno: 2 }, end: { code: 111 } },
    { kind: "socket", name: "web", inode: 8, shut: false, watch: { number: 3, client: true } },
  ]);
  expect(itemsIn(items)).toHaveLength(3);
});
