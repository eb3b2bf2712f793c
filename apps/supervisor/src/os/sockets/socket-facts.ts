/** Facts about one listening socket, as sock_diag(7) reports them for its descriptor. */
import { fstatSync } from "node:fs";
import { ATTRIBUTE, diagnose, eachAttribute, headOf, LISTEN, SHOW, SOCK_STREAM } from "../kernel/sock-diag.ts";

/** The message about a socket; undefined where the kernel does not answer. */
const messageAbout = (fd: number, show: number): Buffer | undefined => {
  try {
    const message = diagnose(fstatSync(fd).ino, show);
    return typeof message === "number" ? undefined : message;
  } catch {
    return undefined;
  }
};

/**
 * Inodes of the clients in the accept queue, in the order in which they came, 0 for one that has left; undefined where the
 * kernel does not answer.
 */
export const queuedClients = (fd: number): number[] | undefined => {
  const message = messageAbout(fd, SHOW.waiting);
  if (!message) return undefined;
  const inodes: number[] = [];
  eachAttribute(message, (type, start, end) => {
    if (type !== ATTRIBUTE.waiting) return;
    for (let at = start; at + 4 <= end; at += 4) inodes.push(message.readUInt32LE(at));
  });
  return inodes;
};

/** Where a socket that listens for streams is bound. */
export interface BoundTo {
  readonly path: string;
  /** Inode, modulo 2^32, and device in the kernel's own numbers. */
  readonly inode: number;
  readonly device: number;
}

/** Where a socket is bound; undefined for one that does not listen for streams at a path. */
export const boundTo = (fd: number): BoundTo | undefined => {
  const message = messageAbout(fd, SHOW.name | SHOW.file);
  if (!message) return undefined;
  const { type, state } = headOf(message);
  let path: string | undefined;
  let file: { inode: number; device: number } | undefined;
  eachAttribute(message, (attribute, start, end) => {
    if (attribute === ATTRIBUTE.name) path = message.toString("utf8", start, end).replace(/\0$/, "");
    if (attribute === ATTRIBUTE.file && end - start >= 8)
      file = { inode: message.readUInt32LE(start), device: message.readUInt32LE(start + 4) };
  });
  if (type !== SOCK_STREAM || state !== LISTEN || path === undefined || file === undefined) return undefined;
  return { path, ...file };
};
