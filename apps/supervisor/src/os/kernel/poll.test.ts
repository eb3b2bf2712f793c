import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "poll-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Polls descriptors again and again while a signal arrives every 200 us; prints each distinct result. */
const program = (): string => `
  import { execFileSync } from "node:child_process";
  import koffi from "koffi";
  import { constants, openSync } from "node:fs";
  import { writeNow } from "${import.meta.dirname}/descriptors.ts";
  import { fullPipes, hasInput } from "${import.meta.dirname}/poll.ts";
  const directory = ${JSON.stringify(directory)};
  const fifo = (name) => {
    execFileSync("mkfifo", [directory + name]);
    return openSync(directory + name, constants.O_RDWR | constants.O_NONBLOCK);
  };
  const [fd, full] = [fifo("/fifo"), fifo("/full")];
  while (writeNow(full, Buffer.alloc(4096)));
  process.on("SIGALRM", () => undefined);
  const setitimer = koffi.load("libc.so.6").func("int setitimer(int, void *, void *)");
  setitimer(0, BigInt64Array.of(0n, 200n, 0n, 200n), null);
  const found = new Set();
  for (let look = 0; look < 100_000; look += 1) {
    found.add(String([hasInput(fd), fullPipes([full]).length]));
  }
  setitimer(0, BigInt64Array.of(0n, 0n, 0n, 0n), null);
  console.log([...found].join(" "));
`;

test("a signal that arrives during poll does not change what poll finds", () => {
  const argv = ["--input-type=module", "-e", program()];
  const found = execFileSync(process.execPath, argv, { encoding: "utf8", cwd: import.meta.dirname });
  expect(found.trim()).toBe("false,1");
});
