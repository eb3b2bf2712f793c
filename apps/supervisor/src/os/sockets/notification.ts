/** The socket on which one run reports readiness (sd_notify(3)): only its account can write to it. */
import { chmodSync, chownSync, closeSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Poller } from "../kernel/poller.ts";
import { bindDatagrams, receive } from "../kernel/unix-socket.ts";
import { TRAVERSABLE, unlinkSocket } from "./socket-directory.ts";

/** Pause between two reads of a socket that is written to all the time. In ms. */
const PAUSE = 20;
const MOST_AT_ONCE = 16;
const LONGEST = 4096;

/**
 * Makes the socket and calls `ready` once, when READY=1 arrives. The returned function removes the socket.
 * @throws errno errors
 */
export const awaitNotification = (path: string, uid: number, poller: Poller, ready: () => void): (() => void) => {
  for (const directory of [dirname(dirname(path)), dirname(path)]) {
    mkdirSync(directory, { recursive: true });
    chmodSync(directory, TRAVERSABLE.byAll);
  }
  rmSync(path, { force: true });
  const fd = bindDatagrams(path);
  let timer: NodeJS.Timeout | undefined;
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    clearTimeout(timer);
    poller.forget(fd);
    closeSync(fd);
    // Where this fails, the next run meets the file and reports it.
    unlinkSocket(path);
  };
  const read = (): void => {
    for (let left = MOST_AT_ONCE; left > 0; left -= 1) {
      const text = receive(fd, LONGEST)?.toString("latin1");
      if (text === undefined) break;
      if (!text.split("\n").includes("READY=1")) continue;
      close();
      ready();
      return;
    }
    timer = setTimeout(() => poller.once(fd, read), PAUSE);
  };
  try {
    chmodSync(path, 0o600);
    chownSync(path, uid, -1);
    poller.once(fd, read);
    return close;
  } catch (error) {
    close();
    throw error;
  }
};
