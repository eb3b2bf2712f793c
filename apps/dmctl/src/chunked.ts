import { Transform, type TransformCallback } from "node:stream";

const LINE_END = "\r\n";
/** A chunk's length and the end after it are short. */
const LONGEST_LINE = 1024;

const errno = (code: string, message: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code });

/**
 * Takes the chunked transfer coding off a body (RFC 9112, 7.1). Fails with ECONNRESET when the body ends without its
 * last chunk, so that one that was cut short is not taken for the whole; with EPROTO for what is not so coded.
 */
export class Dechunker extends Transform {
  /** Bytes that have come of a line that has not ended. */
  #line = "";
  /** Bytes of the present chunk that are still to come. */
  #left = 0;
  #state: "length" | "data" | "after" | "trailer" | "done" = "length";

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      for (let rest = bytes; rest.length > 0 && this.#state !== "done"; ) rest = this.#take(rest);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#state === "done" ? null : errno("ECONNRESET", "the supervisor closed it in the middle"));
  }

  /** Takes something from the front; gives the rest. */
  #take(bytes: Buffer): Buffer {
    if (this.#state === "data") {
      const data = bytes.subarray(0, this.#left);
      this.#left -= data.length;
      if (this.#left === 0) this.#state = "after";
      this.push(data);
      return bytes.subarray(data.length);
    }
    const end = bytes.indexOf(10);
    this.#line += bytes.toString("latin1", 0, end < 0 ? bytes.length : end + 1);
    if (this.#line.length > LONGEST_LINE) throw errno("EPROTO", "what came back is no HTTP");
    if (end < 0) return bytes.subarray(bytes.length);
    const line = this.#line;
    this.#line = "";
    this.#read(line);
    return bytes.subarray(end + 1);
  }

  #read(line: string): void {
    if (this.#state === "trailer") {
      if (line === LINE_END) this.#state = "done";
      return;
    }
    if (this.#state === "after") {
      if (line !== LINE_END) throw errno("EPROTO", "what came back is no HTTP");
      this.#state = "length";
      return;
    }
    const length = /^([0-9a-f]{1,8})[ \t]*(;.*)?\r\n$/i.exec(line)?.[1];
    if (length === undefined) throw errno("EPROTO", "what came back is no HTTP");
    this.#left = Number.parseInt(length, 16);
    this.#state = this.#left === 0 ? "trailer" : "data";
  }
}
