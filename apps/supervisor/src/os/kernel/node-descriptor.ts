/** Descriptors of Node's sockets. */
import type { Server, Socket } from "node:net";

/** Descriptor of a connection or a listening socket, which Node keeps in an internal property; -1 where it is closed. */
export const descriptorOf = (socket: Socket | Server): number => {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return -1;
  return typeof handle.fd === "number" ? handle.fd : -1;
};
