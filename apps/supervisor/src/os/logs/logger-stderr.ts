/**
 * Standard error of a logger: a FIFO that is non-blocking and open for reading and writing. So a logger neither blocks when
 * the supervisor does not read nor gets SIGPIPE when there is none, and a reader gets no more than a pipe holds.
 */
import { closeSync } from "node:fs";
import { readNow } from "../kernel/descriptors.ts";
import type { ShimLink } from "../shim/link.ts";
import { loggerErrors } from "../shim/names.ts";
import { openFifo } from "./fifo.ts";
import type { LogPlan } from "./log-plan.ts";

/** Bytes that a FIFO holds (pipe(7)). */
const CAPACITY = 64 * 1024;
/** Bytes of a line that are reported. */
const LONGEST = 200;

export class LoggerStderr {
  /** Its name in the shim. */
  readonly name: string;
  readonly #fd: number;
  readonly #link: ShimLink;

  /** @throws errno errors */
  constructor(link: ShimLink, { name, fifo, writer, destination }: LogPlan) {
    this.#link = link;
    this.name = loggerErrors(name);
    // The logger's account owns it, so that it can open /dev/stderr again.
    this.#fd = openFifo(link, this.name, `${fifo}.errors`, destination?.identity.uid ?? writer.uid, true);
  }

  /**
   * The last line that is not blank, its first 200 bytes, without control characters; "" where there is none. Discards
   * everything written so far.
   */
  last(): string {
    const bytes = Buffer.alloc(CAPACITY);
    let length = 0;
    for (let more = -1; more !== 0 && length < CAPACITY; length += more)
      more = readNow(this.#fd, bytes.subarray(length));
    const lines = bytes.toString("latin1", 0, length).split("\n");
    const line = Buffer.from(lines.findLast((each) => each.trim() !== "") ?? "", "latin1");
    return line
      .subarray(0, LONGEST)
      .toString("utf8")
      .trim()
      .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
  }

  close(): void {
    closeSync(this.#fd);
    this.#link.requests.release("fifo", this.name);
  }
}
