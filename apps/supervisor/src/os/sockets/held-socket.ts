/** A listening socket that the supervisor holds. */
import type { SocketEvidence } from "../../core/evidence.ts";
import type { HeldSocket } from "../../engine/ports/sockets.ts";
import type { Poller } from "../kernel/poller.ts";
import {
  admit,
  closeSocket,
  dismissWaiting,
  fileOf,
  isPublished,
  type ListeningSocket,
  markSocket,
  observeSocket,
  widenQueue,
} from "./listening-socket.ts";

export class HeldListener implements HeldSocket {
  readonly isNew: boolean;
  #socket: ListeningSocket;
  readonly #poller: Poller;
  readonly #closed: (problem: string | undefined) => void;
  /** Its evidence when it was closed: runs may still listen on it. */
  #last: SocketEvidence | undefined;

  /** @param closed called by `close`; `problem` says why a file is left at its path, if so */
  constructor(socket: ListeningSocket, isNew: boolean, poller: Poller, closed: (problem: string | undefined) => void) {
    this.#socket = socket;
    this.isNew = isNew;
    this.#poller = poller;
    this.#closed = closed;
  }

  get descriptor(): number {
    return this.#socket.fd;
  }
  get path(): string {
    return this.#socket.path;
  }
  get file(): number {
    return fileOf(this.#socket);
  }
  intact(): boolean {
    return isPublished(this.#socket);
  }
  restoreBacklog(): void {
    widenQueue(this.#socket);
  }
  admit(clients: boolean): void {
    admit(this.#socket, clients);
  }
  refuseWaiting(): void {
    this.#poller.forget(this.descriptor);
    this.#socket = dismissWaiting(this.#socket);
  }
  mark(): void {
    markSocket(this.#socket);
  }
  observe(): SocketEvidence {
    return this.#last ?? observeSocket(this.#socket);
  }
  awaitClient(came: () => void): void {
    this.#poller.once(this.descriptor, came);
  }
  close(): void {
    this.#poller.forget(this.descriptor);
    this.#last = observeSocket(this.#socket);
    this.#closed(closeSocket(this.#socket));
  }
}
