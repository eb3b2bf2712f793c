/** The FIFOs to which daemons write their logs. The shim holds them, so that writers always find a reader. */
import { constants, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ShimLink } from "../shim/link.ts";

/** Path of a FIFO of a daemon, inside the run directory. */
export const fifoPath = (runDir: string, owner: string, name: string, number: number): string =>
  join(runDir, "logs", owner, `${name}.${number}.fifo`);

/**
 * Makes a FIFO and gives it to its writer; returns a descriptor of it, for reading and writing.
 * @param name in the shim
 * @throws errno errors
 */
export const openFifo = (
  { requests, use }: Pick<ShimLink, "requests" | "use">,
  name: string,
  path: string,
  uid: number,
  nonblock = false,
): number => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The group lets a root without CAP_DAC_OVERRIDE open it; no tenant is in root's group.
  requests.hold(name, { path, uid, gid: process.getegid?.() ?? 0, mode: 0o660 }, nonblock);
  use("fifo", name);
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  return openSync(path, O_RDWR | O_NOFOLLOW | (nonblock ? O_NONBLOCK : 0));
};
