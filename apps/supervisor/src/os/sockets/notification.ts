/** The socket on which one run may tell that it is ready (sd_notify(3)): only its account can write to it. */
import { chmodSync, chownSync, closeSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { bindDatagrams, receive } from "../kernel/libc.ts";
import type { Poller } from "../kernel/poller.ts";
import { PASSAGE, takeAway } from "./listening-socket.ts";

/** Between two looks at a socket that is written to all the time. In ms. */
const PAUSE = 20;
const MOST_AT_ONCE = 16;
const LONGEST = 4096;

/**
 * Makes the socket, and calls `ready` once, when READY=1 has come. The function that is returned takes it away.
 * @throws errno errors
 */
export const awaitNotification = (path: string, uid: number, poller: Poller, ready: () => void): (() => void) => {
  for (const directory of [dirname(dirname(path)), dirname(path)]) {
    mkdirSync(directory, { recursive: true });
    chmodSync(directory, PASSAGE.root);
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
    // Where something else is by now, the next run meets it, and tells.
    takeAway(path);
  };
  const look = (): void => {
    for (let left = MOST_AT_ONCE; left > 0; left -= 1) {
      const text = receive(fd, LONGEST)?.toString("latin1");
      if (text === undefined) break;
      if (!text.split("\n").includes("READY=1")) continue;
      close();
      ready();
      return;
    }
    timer = setTimeout(() => poller.once(fd, look), PAUSE);
  };
  try {
    chmodSync(path, 0o600);
    chownSync(path, uid, -1);
    poller.once(fd, look);
    return close;
  } catch (error) {
    close();
    throw error;
  }
};
