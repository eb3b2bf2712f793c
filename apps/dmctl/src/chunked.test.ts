import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { Dechunker } from "./chunked.ts";

const TEXT = "5\r\nhello\r\n7;ext=1\r\n,\r\nworl\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n";

/** What comes out when `text` comes in pieces of this many bytes. */
const decoded = async (text: string, size: number): Promise<string> => {
  const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
    Buffer.from(text.slice(index * size, (index + 1) * size)),
  );
  const chunks: Buffer[] = [];
  const source = Readable.from(pieces);
  const target = new Dechunker();
  source.pipe(target);
  for await (const chunk of target) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

test.each([1, 2, 3, 7, 1000])("a body in pieces of %i bytes comes out whole", async (size) => {
  expect(await decoded(TEXT, size)).toBe("hello,\r\nworld");
});

test("a body that ends anywhere before its end is a failure", async () => {
  for (let length = 1; length < TEXT.length; length += 1) {
    await expect(decoded(TEXT.slice(0, length), 1000)).rejects.toMatchObject({ code: "ECONNRESET" });
  }
});

test.each(["x\r\n", "-1\r\n", "5\nhello", "5\r\nhello!\r\n", "123456789\r\n", "a".repeat(2000)])(
  "%j is no such body",
  async (text) => {
    await expect(decoded(text, 1000)).rejects.toMatchObject({ code: "EPROTO" });
  },
);
