/**
 * Standard error of a logger: a FIFO without a name, non-blocking and open for reading and writing. So a logger neither
 * blocks when the supervisor does not read nor gets SIGPIPE when there is none, and a reader gets no more than a pipe
 * holds.
 */
import { chownSync, closeSync, constants, openSync, rmSync } from "node:fs";
import { readNow } from "../kernel/descriptors.ts";
import { mkfifo } from "../kernel/file-calls.ts";

/** Bytes that a FIFO holds (pipe(7)). */
const CAPACITY = 64 * 1024;
/** Bytes of a line that are reported. */
const LONGEST = 200;

export class LoggerStderr {
  readonly fd: number;

  /**
   * @param path its name while it is made, in a directory that only root enters
   * @param uid of the logger, so that it can open /dev/stderr again
   * @throws errno errors
   */
  constructor(path: string, uid: number) {
    rmSync(path, { force: true });
    mkfifo(path, 0o660);
    try {
      this.fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      chownSync(path, uid, process.getegid?.() ?? 0);
    } finally {
      rmSync(path, { force: true });
    }
  }

  /**
   * The last line that is not blank, its first 200 bytes, without control characters; "" where there is none. Discards
   * everything written so far.
   */
  last(): string {
    const bytes = Buffer.alloc(CAPACITY);
    let length = 0;
    for (let more = -1; more !== 0 && length < CAPACITY; length += more)
      more = readNow(this.fd, bytes.subarray(length));
    const lines = bytes.toString("latin1", 0, length).split("\n");
    const line = Buffer.from(lines.findLast((each) => each.trim() !== "") ?? "", "latin1");
    return line
      .subarray(0, LONGEST)
      .toString("utf8")
      .trim()
      .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
  }

  close(): void {
    closeSync(this.fd);
  }
}
