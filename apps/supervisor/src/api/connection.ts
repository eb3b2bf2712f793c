/** Connections of the control API: who is at the other end, and how long it may take to send a request. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { answerTo, Refusal } from "./refusal.ts";

/** A caller, as the kernel says. */
export interface Caller {
  readonly uid: number;
  /** Account of that uid, as it is now. */
  readonly user: string;
}

const callers = new WeakMap<Socket, Caller>();

/** A request must be complete within this time of the connection, or of the previous answer. In ms. */
export const REQUEST_TIMEOUT = 15_000;
const timeouts = new WeakMap<Socket, number>();
const timers = new WeakMap<Socket, NodeJS.Timeout>();

/** Ends a connection whose next request is not complete in time. */
export const awaitRequest = (socket: Socket): void => {
  clearTimeout(timers.get(socket));
  timers.set(
    socket,
    setTimeout(() => socket.destroy(), timeouts.get(socket) ?? REQUEST_TIMEOUT),
  );
};

/** A request is complete, or the connection has ended: the answer may take as long as it takes. */
export const requestCame = (socket: Socket): void => clearTimeout(timers.get(socket));

/**
 * Remembers who is at the other end of a connection, for as long as it lasts.
 * @param requestTimeout ms within which each request must be complete
 */
export const attachCaller = (socket: Socket, caller: Caller, requestTimeout = REQUEST_TIMEOUT): void => {
  callers.set(socket, caller);
  timeouts.set(socket, requestTimeout);
  awaitRequest(socket);
  socket.once("close", () => requestCame(socket));
};

/** Who is at the other end. */
export const callerOf = (socket: Socket): Caller => {
  const caller = callers.get(socket);
  if (!caller) throw new Refusal("internal", "this connection has no caller");
  return caller;
};

/**
 * The whole HTTP answer (429, `busy`) to a connection that its account may not have, whatever it requests.
 * @param most connections that an account may have at a time
 */
export const busyAnswer = (most: number): string => {
  const { status, body } = answerTo(
    new Refusal(
      "busy",
      `Your account has ${most} connections to the supervisor, the most that it may have; end some, such as followed logs, or try again.`,
    ),
  );
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${text}`;
};
