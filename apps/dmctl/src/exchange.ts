/**
 * One request and its answer over a UNIX socket, in HTTP/1.1, so that a body that is cut short can be told from one that
 * has ended. Not node:http, because Bun takes 6 ms to load and first use it, half of what `dmctl status` may take.
 */
import { connect, type Socket } from "node:net";
import { pipeline, type Readable } from "node:stream";
import { Dechunker } from "./chunked.ts";

/** What is asked. */
export interface Question {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  /** JSON text; "" is no body. */
  readonly body: string;
}

/** What comes back. `body` yields its bytes and fails with an errno error when the connection breaks before its end. */
export interface Answer {
  readonly status: number;
  /** Bytes that the body should have, undefined where the server did not know. */
  readonly length: number | undefined;
  readonly body: Readable;
}

const HEAD_LIMIT = 16 * 1024;

const dechunked = (socket: Socket): Readable =>
  pipeline(socket, new Dechunker(), () => {
    // Whoever reads the body hears of it.
  });

const errno = (code: string, message: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code });

const requestText = ({ method, path, body }: Question): string =>
  `${method} ${path} HTTP/1.1\r\nHost: dmhost\r\nConnection: close\r\n${
    body === "" ? "" : "Content-Type: application/json\r\n"
  }Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

/**
 * Asks at `socketPath`. Resolves when the answer's head is there, with the body paused; rejects with an errno error:
 * of connecting, ETIMEDOUT when the head has not come within `patience` milliseconds, EPROTO for what is no HTTP,
 * ECONNRESET when the server leaves without an answer, ABORT_ERR after `signal`.
 */
export const exchange = (
  socketPath: string,
  question: Question,
  patience: { readonly connect: number; readonly answer: number },
  signal?: AbortSignal,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const giveUp = (within: number) => (): void => {
      socket.destroy(errno("ETIMEDOUT", `no answer within ${within / 1000} s`));
    };
    let timer = setTimeout(giveUp(patience.connect), patience.connect);
    const abort = (): void => {
      socket.destroy(errno("ABORT_ERR", "interrupted"));
    };
    signal?.addEventListener("abort", abort, { once: true });
    let head = Buffer.alloc(0);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    const leave = (): void => {
      socket.destroy(errno("ECONNRESET", "it closed the connection without an answer"));
    };
    const take = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length <= HEAD_LIMIT) return;
      const text = head.toString("latin1", 0, Math.max(end, 0));
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
      if (status === undefined) {
        socket.destroy(errno("EPROTO", "what came back is no HTTP"));
        return;
      }
      clearTimeout(timer);
      socket.pause();
      socket.off("data", take);
      socket.off("end", leave);
      const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
      const rest = head.subarray(end + 4);
      if (rest.length > 0) socket.unshift(rest);
      const body = /\r\ntransfer-encoding: *chunked/i.test(text) ? dechunked(socket) : socket;
      resolve({ status: Number(status), length: length === undefined ? undefined : Number(length), body });
    };
    socket.on("error", fail);
    socket.on("data", take);
    socket.once("end", leave);
    socket.once("connect", () => {
      clearTimeout(timer);
      if (Number.isFinite(patience.answer)) timer = setTimeout(giveUp(patience.answer), patience.answer);
      socket.write(requestText(question));
    });
    socket.once("close", () => {
      signal?.removeEventListener("abort", abort);
      fail(errno("ECONNRESET", "it closed the connection"));
    });
  });

/** The whole body as text. Rejects when the connection breaks, or ends before `length` bytes. */
export const readText = ({ body, length }: Answer): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    body.on("data", (chunk: Buffer) => chunks.push(chunk));
    body.once("error", reject);
    body.once("end", () => {
      const bytes = Buffer.concat(chunks);
      if (length !== undefined && bytes.length < length) reject(errno("ECONNRESET", "it closed the connection early"));
      else resolve(bytes.toString("utf8"));
    });
    body.resume();
  });
