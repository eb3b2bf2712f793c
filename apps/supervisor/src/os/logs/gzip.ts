/** Files that gzip made, read as what they were. */
import { readSync } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { constants, createGunzip } from "node:zlib";

/** More than a log's largest file: what a tenant's file is inflated to at most, in bytes. */
const MOST = 320 * 1024 * 1024;

/** Whether a file begins as gzip's do (RFC 1952, 2.3.1). */
export const isCompressed = (fd: number): boolean => {
  const magic = Buffer.alloc(2);
  return readSync(fd, magic, 0, 2, 0) === 2 && magic.readUInt16BE() === 0x1f8b;
};

/**
 * What `source` was before it was compressed, made no faster than it is taken. A file that is damaged or cut off ends
 * where it cannot be read any more, and one of more than 320 MiB there.
 */
export async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const text = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  pipeline(Readable.from(source, { objectMode: false }), text, () => undefined);
  let length = 0;
  try {
    for await (const chunk of text as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MOST) return;
      yield chunk;
    }
  } catch (error) {
    if (!(error as NodeJS.ErrnoException).code?.startsWith("Z_")) throw error;
  } finally {
    text.destroy();
  }
}
