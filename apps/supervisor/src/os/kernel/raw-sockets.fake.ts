/** Sockets of this process at which nobody accepts or reads, for tests. */
import { closeSync } from "node:fs";
import { checked, declare } from "./libc.ts";

const c = {
  socket: declare("int socket(int, int, int)"),
  bind: declare("int bind(int, void *, uint32_t)"),
  listen: declare("int listen(int, int)"),
};

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;

const bound = (type: number, path: string): number => {
  const address = Buffer.concat([Buffer.of(AF_UNIX, 0), Buffer.from(`${path}\0`)]);
  const fd = checked("socket", c.socket(AF_UNIX, type, 0));
  if (c.bind(fd, address, address.length) === 0) return fd;
  closeSync(fd);
  throw new Error(`cannot bind ${path}`);
};

/** Listens at a path; returns a descriptor. */
export const listenUnix = (path: string, backlog: number): number => {
  const fd = bound(SOCK_STREAM, path);
  checked("listen", c.listen(fd, backlog));
  return fd;
};

/** Receives datagrams at a path; returns a descriptor. */
export const bindDatagrams = (path: string): number => bound(SOCK_DGRAM, path);
