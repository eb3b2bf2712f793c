import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "libc-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Looks at descriptors again and again while a signal comes every 200 us; tells what they are found to be. */
const program = (): string => `
  import koffi from "koffi";
  import { constants, openSync } from "node:fs";
  import { fullOnes, holdsBytes, isShutDown, listenUnix, mkfifo, writeAtOnce } from "${import.meta.dirname}/libc.ts";
  const directory = ${JSON.stringify(directory)};
  const fifo = (name) => {
    mkfifo(directory + name, 0o600);
    return openSync(directory + name, constants.O_RDWR | constants.O_NONBLOCK);
  };
  const [fd, full] = [fifo("/fifo"), fifo("/full")];
  while (writeAtOnce(full, Buffer.alloc(4096)));
  const listening = listenUnix(directory + "/socket", 8);
  process.on("SIGALRM", () => undefined);
  const setitimer = koffi.load("libc.so.6").func("int setitimer(int, void *, void *)");
  setitimer(0, BigInt64Array.of(0n, 200n, 0n, 200n), null);
  const found = new Set();
  for (let look = 0; look < 100_000; look += 1) {
    found.add(String([holdsBytes(fd), fullOnes([full]).length, isShutDown(listening)]));
  }
  setitimer(0, BigInt64Array.of(0n, 0n, 0n, 0n), null);
  console.log([...found].join(" "));
`;

test("a signal that comes during a look at descriptors does not break it off", () => {
  const argv = ["--input-type=module", "-e", program()];
  const told = execFileSync(process.execPath, argv, { encoding: "utf8", cwd: import.meta.dirname });
  expect(told.trim()).toBe("false,1,false");
});
