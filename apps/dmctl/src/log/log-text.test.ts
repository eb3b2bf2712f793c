import { tai64nLocal } from "@dmhost/supervisor/tai64n";
import fc from "fast-check";
import { expect, test } from "vitest";
import { from, withoutControls, withWallClock } from "./log-text.ts";

async function* inPieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const size = sizes[piece % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const all = async (source: AsyncIterable<Buffer | string>): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
};

const LABEL = "@4000000037c219bf2ef02e94";

test("labels are replaced only at the start of lines, however the bytes are split into chunks", async () => {
  const piece = fc.constantFrom(LABEL, `${LABEL} `, "@", "@4000", "\n", "x", "ö", "0", LABEL.slice(0, 24));
  const log = fc.array(piece, { maxLength: 20 }).map((parts) => parts.join(""));
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(log, sizes, async (text, cuts) => {
      const expected = text
        .split("\n")
        .map((line) => tai64nLocal(line, "utc"))
        .join("\n");
      expect((await all(withWallClock(inPieces(Buffer.from(text), cuts), "utc"))).toString()).toBe(expected);
    }),
  );
});

test("--since begins with the first line of its moment: labels count leap seconds", async () => {
  const lines = `@4000000037c219be00000000 before\n${LABEL} then\nno label\n`;
  const since = async (second: number) =>
    (await all(from(inPieces(Buffer.from(lines), [7]), Date.UTC(1999, 7, 24, 4, 3, second)))).toString();
  expect([await since(42), await since(43), await since(44)]).toEqual([lines, `${LABEL} then\nno label\n`, ""]);
});

test("bytes that are not UTF-8 pass unchanged", async () => {
  const bytes = Buffer.from([0xff, 0xfe, 0x0a, 0x80, 0x00, 0x40, 0xc3]);
  expect(await all(withWallClock(inPieces(bytes, [3]), "utc"))).toEqual(bytes);
});

test("a line without an end is passed on in chunks, not collected", async () => {
  let given = 0;
  async function* endless(): AsyncGenerator<Buffer> {
    for (; given < 1000; given++) yield Buffer.alloc(65_536, "x");
  }
  for await (const chunk of withWallClock(endless(), "utc")) {
    expect(chunk.length).toBeLessThanOrEqual(65_536 + 25);
    if (given === 2) break;
  }
  expect(given).toBe(2);
});

test("control characters are escaped, even if a chunk ends within one", async () => {
  const bytes = Buffer.from("a\u001b[31mö\u202e\u009b\n");
  for (const size of [1, 2, 3, 50]) {
    expect((await all(withoutControls(inPieces(bytes, [size])))).toString()).toBe("a\\x1b[31mö\\u{202e}\\x9b\n");
  }
});
