/** The socket that the supervisor connects to: one connection at a time, of one uid, which the kernel reports. */
import { chmodSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { LONGEST_ANSWER, LONGEST_LINE } from "@dmhost/broker-contract";
import { descriptorOf } from "../../../supervisor/src/os/kernel/node-descriptor.ts";
import { peerOf, refuseDescriptors } from "../../../supervisor/src/os/kernel/unix-socket.ts";
import type { Answers } from "./requests.ts";

const NEWLINE = 10;
/** Bytes that a supervisor has not read; one more line ends its connection. */
const MOST_UNREAD = 2 * LONGEST_ANSWER;

/** Cuts bytes into lines. */
export class Lines {
  #rest: Buffer = Buffer.alloc(0);

  /** The complete lines; undefined where one is too long. */
  take(bytes: Buffer): string[] | undefined {
    const found: string[] = [];
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      if (end + 1 > LONGEST_LINE) return undefined;
      found.push(rest.toString("utf8", 0, end));
      rest = rest.subarray(end + 1);
    }
    this.#rest = rest;
    return rest.length >= LONGEST_LINE ? undefined : found;
  }
}

export class SupervisorSocket {
  readonly #peer: number;
  readonly #take: (line: string, answers: Answers) => void;
  readonly #refused: (uid: number | undefined) => void;
  #server: Server | undefined;
  #current: Socket | undefined;

  /**
   * @param peer uid of the supervisor
   * @param refused called for a connection of another uid
   */
  constructor(
    peer: number,
    take: (line: string, answers: Answers) => void,
    refused: (uid: number | undefined) => void,
  ) {
    this.#peer = peer;
    this.#take = take;
    this.#refused = refused;
  }

  /** Listens at a path, in place of what was there. @throws errno errors */
  async listen(path: string): Promise<void> {
    const draft = `${path}~`;
    rmSync(draft, { force: true });
    const server = createServer((socket) => this.#receive(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(draft, resolve);
    });
    refuseDescriptors(descriptorOf(server));
    // Each connection is checked; the mode only keeps others from trying.
    chmodSync(draft, this.#peer === 0 || this.#peer === process.geteuid?.() ? 0o600 : 0o666);
    renameSync(draft, path);
    this.#server = server;
  }

  /** Sends a line to the supervisor, if there is one. */
  send(message: unknown): void {
    if (this.#current) write(this.#current, message);
  }

  close(): void {
    this.#server?.close();
    this.#current?.destroy();
  }

  #receive(socket: Socket): void {
    socket.on("error", () => undefined);
    let uid: number | undefined;
    try {
      uid = peerOf(descriptorOf(socket)).uid;
    } catch {
      uid = undefined;
    }
    if (uid !== this.#peer) {
      this.#refused(uid);
      socket.destroy();
      return;
    }
    this.#current?.destroy();
    this.#current = socket;
    const answers: Answers = {
      get isOpen() {
        return !socket.destroyed && socket.writable;
      },
      send: (message) => write(socket, message),
      close: () => socket.destroy(),
    };
    const lines = new Lines();
    socket.on("data", (bytes: Buffer) => {
      const found = lines.take(bytes);
      if (found === undefined) socket.destroy();
      for (const line of found ?? []) if (!socket.destroyed) this.#take(line, answers);
    });
    socket.on("close", () => {
      if (this.#current === socket) this.#current = undefined;
    });
  }
}

/** Writes a line; a supervisor that does not read loses its connection, and lists again when it comes back. */
const write = (socket: Socket, message: unknown): void => {
  if (socket.destroyed || !socket.writable) return;
  if (socket.writableLength > MOST_UNREAD) socket.destroy();
  else socket.write(`${JSON.stringify(message)}\n`);
};
