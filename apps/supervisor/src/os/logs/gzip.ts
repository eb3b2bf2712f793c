/** Decompresses gzip files. */
import { readSync } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { codeOf } from "../kernel/error-code.ts";

/** Bytes to which a tenant's file is inflated at most: more than a log's largest file. */
const MOST = 320 * 1024 * 1024;

/** Whether a file begins like a gzip file (RFC 1952, 2.3.1). */
export const isCompressed = (fd: number): boolean => {
  const magic = Buffer.alloc(2);
  return readSync(fd, magic, 0, 2, 0) === 2 && magic.readUInt16BE() === 0x1f8b;
};

/**
 * Decompresses `source`, no faster than its reader takes the text. The text ends where a file is damaged or cut off, and
 * after 320 MiB.
 */
export async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const { openGunzip } = await import("./gunzip.ts");
  const text = openGunzip();
  pipeline(Readable.from(source, { objectMode: false }), text, () => undefined);
  let length = 0;
  try {
    const chunks: AsyncIterable<Buffer> = text;
    for await (const chunk of chunks) {
      length += chunk.length;
      if (length > MOST) return;
      yield chunk;
    }
  } catch (error) {
    if (!codeOf(error).startsWith("Z_")) throw error;
  } finally {
    text.destroy();
  }
}
