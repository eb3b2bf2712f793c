import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ShimLink } from "./link.ts";
import { RecordNotes } from "./record-notes.ts";
import { endShim, startedShim } from "./started-shim.fake.ts";

let directory: string;
let link: ShimLink;
let notes: RecordNotes;

const connect = async (): Promise<void> => {
  link = await startedShim(directory);
  notes = new RecordNotes(link);
};
/** What the next supervisor does. */
const reconnect = (): Promise<void> => {
  link.close();
  return connect();
};

const unexpected = (error: unknown): void => {
  throw error;
};
const write = (name: string, value: object): void => notes.write(name, JSON.stringify(value), unexpected);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "notes-"));
  await connect();
});
afterEach(() => {
  endShim(link);
  rmSync(directory, { recursive: true });
});

test("the next supervisor reads what was written last, and nothing that was removed", async () => {
  write("anna/blog", { size: 1 });
  write("anna/blog", { size: 2 });
  write("anna/shop", {});
  notes.remove("anna/shop");
  await reconnect();
  expect([notes.names(), notes.read("anna/blog"), notes.read("anna/shop")]).toEqual([
    ["anna/blog"],
    { size: 2 },
    undefined,
  ]);
});

test("a copy that is too large is refused, and leaves none that is out of date", async () => {
  write("anna/blog", { size: 1 });
  const failures: unknown[] = [];
  notes.write("anna/blog", "x".repeat(20_000), (error) => failures.push(error));
  write("anna/shop", { size: 1 });
  expect(() => write("anna/shop", { text: "x".repeat(300_000) })).toThrow("at most 262144 bytes");
  link.requests.list();
  await reconnect();
  expect([notes.names(), failures]).toEqual([[], [expect.objectContaining({ code: "E2BIG" })]]);
});

test("a note that is no object is none", async () => {
  for (const [name, text] of Object.entries({ cut: '{"a', word: '"a"', nothing: "null" }))
    link.requests.note(name, text, unexpected);
  await reconnect();
  expect(["cut", "word", "nothing"].map((name) => notes.read(name))).toEqual([undefined, undefined, undefined]);
});
