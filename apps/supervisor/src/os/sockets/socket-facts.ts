/** Facts about one listening socket, as sock_diag(7) reports them for its inode. */
import { ATTRIBUTE, diagnose, eachAttribute, SHOW } from "../kernel/sock-diag.ts";

/**
 * Inodes of the clients in the accept queue, in the order in which they came, 0 for one that has left; undefined where the
 * kernel does not answer.
 * @param socket its inode
 */
export const queuedClients = (socket: number): number[] | undefined => {
  try {
    const message = diagnose(socket, SHOW.waiting);
    if (message === undefined || typeof message === "number") return undefined;
    const inodes: number[] = [];
    eachAttribute(message, (type, start, end) => {
      if (type !== ATTRIBUTE.waiting) return;
      for (let at = start; at + 4 <= end; at += 4) inodes.push(message.readUInt32LE(at));
    });
    return inodes;
  } catch {
    return undefined;
  }
};
