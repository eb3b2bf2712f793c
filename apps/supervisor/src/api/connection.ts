/** Connections of the control API: who is at the other end, and how long it may take to send a request. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { answerTo, Refusal } from "./refusal.ts";

/** A caller, identified by the kernel. */
export interface Caller {
  readonly uid: number;
  /** The current account with this uid. */
  readonly user: string;
}

const callers = new WeakMap<Socket, Caller>();

/** A request must be complete within this time of the connection, or of the previous answer. In ms. */
export const REQUEST_TIMEOUT = 15_000;
const timeouts = new WeakMap<Socket, number>();
/** Of connections whose next request is awaited. */
const timers = new WeakMap<Socket, NodeJS.Timeout>();

/** Ends a connection whose next request is not complete in time. */
export const awaitRequest = (socket: Socket): void => {
  clearTimeout(timers.get(socket));
  timers.set(
    socket,
    setTimeout(() => socket.destroy(), timeouts.get(socket) ?? REQUEST_TIMEOUT),
  );
};

/** A request is complete, or the connection has ended: the answer has no time limit. */
export const requestCame = (socket: Socket): void => {
  clearTimeout(timers.get(socket));
  timers.delete(socket);
};

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

/** The account at the other end of a connection. */
export const callerOf = (socket: Socket): Caller => {
  const caller = callers.get(socket);
  if (!caller) throw new Refusal("internal", "this connection has no caller");
  return caller;
};

/** The whole HTTP answer with an error, for a connection that ends after it. */
const lastAnswer = (error: unknown): string => {
  const { status, body } = answerTo(error);
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${text}`;
};

/**
 * The whole HTTP answer (429, `busy`) to a connection beyond the maximum of its account.
 * @param most maximum number of connections of an account
 */
export const busyAnswer = (most: number): string =>
  lastAnswer(
    new Refusal(
      "busy",
      `your account has ${most} connections to the supervisor, which is the maximum; close some, such as followed logs, or try again`,
    ),
  );

const TOO_LONG = { statusCode: 431, message: "the head of the request is too long" };

/** Answers what Node's parser refuses, and ends its connection. */
export const refuseUnreadable = ({ code }: NodeJS.ErrnoException, socket: Socket): void => {
  const error =
    code === "HPE_HEADER_OVERFLOW" ? TOO_LONG : new Refusal("usage", `the request is not valid HTTP (${code})`);
  // Text within an answer that has begun would be read as a part of it.
  if (timers.has(socket) && socket.writable) socket.write(lastAnswer(error));
  socket.destroySoon();
};
