import { expect, it } from "vitest";
import { type SocketEvidence, tookConnection } from "./evidence.ts";

const seen = (waiting: number[] | undefined, touched: boolean): SocketEvidence => ({
  waiting,
  queued: waiting !== undefined && waiting.length > 0,
  touched,
});

it.each<[string, SocketEvidence, SocketEvidence, boolean]>([
  ["nobody came", seen([], false), seen([], false), false],
  ["somebody came and nobody waits", seen([], false), seen([], true), true],
  ["the first who waited is still the first", seen([7, 8], false), seen([7, 8], false), false],
  ["others came behind the first", seen([7], false), seen([7, 8, 9], true), false],
  ["the first was taken, others wait", seen([7, 8], false), seen([8, 9], true), true],
  ["all were taken", seen([7], false), seen([], false), true],
  ["a queue that was empty and is not: the benefit of the doubt", seen([], false), seen([9], true), true],
  ["a kernel that shows no queue: somebody came", seen(undefined, false), seen(undefined, true), true],
  ["a kernel that shows no queue: nobody came", seen(undefined, false), seen(undefined, false), false],
])("a socket's evidence shows whether a connection was accepted: %s", (_name, before, after, expected) => {
  expect(tookConnection(before, after)).toBe(expected);
});
