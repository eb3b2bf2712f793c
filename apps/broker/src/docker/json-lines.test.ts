import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { lines } from "./json-lines.ts";

const all = async (stream: Readable, patience?: Parameters<typeof lines>[1]): Promise<unknown[]> => {
  const found: unknown[] = [];
  for await (const value of lines(stream, patience)) found.push(value);
  return found;
};

test("lines are found wherever the stream is cut, also one without an end", async () => {
  expect(await all(Readable.from(['{"a"', ':1}\n\n{"b":2}\r\n{"c"', ":3}"].map((text) => Buffer.from(text))))).toEqual([
    { a: 1 },
    { b: 2 },
    { c: 3 },
  ]);
});

test("a stream without news fails after a time", async () => {
  const silent = { silent: 5, whole: 60_000 };
  await expect(all(new Readable({ read: () => undefined }), silent)).rejects.toThrow("no news for 0.005 s");
});

test("a stream that never ends fails after a time, whatever it says", async () => {
  const drip = new Readable({ read: () => void setTimeout(() => drip.push("{}\n"), 1) });
  await expect(all(drip, { silent: 60_000, whole: 30 })).rejects.toThrow("not complete after 0.03 s");
});

test("a line that is no JSON or is too long fails", async () => {
  await expect(all(Readable.from([Buffer.from("<html>\n")]))).rejects.toThrow(SyntaxError);
  await expect(all(Readable.from([Buffer.alloc(2 << 20, 97)]))).rejects.toThrow("a line is too long");
});
