/** The sockets of the control API: one per user and a public one. The kernel reports the account of each connection. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { descriptorOf } from "../kernel/node-descriptor.ts";
import { privileged } from "../kernel/privileges.ts";
import { peerOf, refuseDescriptors } from "../kernel/unix-socket.ts";
import { unlinkSocket } from "./socket-directory.ts";

/** Accepted connections of one uid at a time. As many more are answered that they are too many; the rest are closed. */
export const MOST_CONNECTIONS = 32;
/** A refused client must read its answer and close within this time. In ms. */
const REFUSAL_TIMEOUT = 1000;

/** Accepts connections on any number of sockets and passes each on with the uid of its peer. */
export class ControlSockets {
  readonly #servers = new Map<string, Server>();
  readonly #accepted = new Map<number, number>();
  readonly #excess = new Map<number, number>();
  readonly #accept: (socket: Socket, uid: number) => void;
  readonly #busy: string;

  /** @param busy the answer to a connection of a uid beyond MOST_CONNECTIONS, a few hundred bytes */
  constructor(accept: (socket: Socket, uid: number) => void, busy: string) {
    this.#accept = accept;
    this.#busy = busy;
  }

  /**
   * Listens at `path`; its directory belongs to the supervisor and is made where it is missing.
   * @param account who may connect besides root; undefined: all accounts
   * @throws errno errors
   */
  async open(path: string, account: Account | undefined): Promise<void> {
    const former = lstatSync(path, { throwIfNoEntry: false });
    if (this.#servers.has(path) && former?.isSocket() && (!account || former.uid === account.uid || !privileged))
      return;
    this.#servers.get(path)?.close();
    const directory = dirname(path);
    mkdirSync(directory, { recursive: true });
    // Whatever the umask: users must be able to traverse the directories above their socket.
    for (const above of account ? [dirname(directory), directory] : [directory]) chmodSync(above, 0o755);
    // A client that finds it may connect to it.
    const draft = join(directory, "~");
    rmSync(draft, { force: true });
    const server = createServer((socket) => this.#receive(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(draft, resolve);
    });
    refuseDescriptors(descriptorOf(server));
    this.#servers.set(path, server);
    // In this order: a root without CAP_FOWNER cannot change the mode once the user owns the socket.
    chmodSync(draft, account ? 0o600 : 0o666);
    if (account && privileged) chownSync(draft, account.uid, account.gid);
    renameSync(draft, path);
  }

  #receive(socket: Socket): void {
    socket.on("error", () => undefined);
    let uid: number;
    try {
      ({ uid } = peerOf(descriptorOf(socket)));
    } catch {
      socket.destroy();
      return;
    }
    if (this.#takePlace(this.#accepted, uid, socket)) this.#accept(socket, uid);
    else if (this.#takePlace(this.#excess, uid, socket)) this.#refuse(socket);
    else socket.destroy();
  }

  /** Whether there was a place for one more connection of the uid, which it has until it closes. */
  #takePlace(counts: Map<number, number>, uid: number, socket: Socket): boolean {
    const count = (counts.get(uid) ?? 0) + 1;
    if (count > MOST_CONNECTIONS) return false;
    counts.set(uid, count);
    socket.once("close", () => {
      const left = (counts.get(uid) ?? 1) - 1;
      if (left === 0) counts.delete(uid);
      else counts.set(uid, left);
    });
    return true;
  }

  /** Answers, and discards the request: a client whose write fails does not look for an answer. */
  #refuse(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), REFUSAL_TIMEOUT);
    socket.once("close", () => clearTimeout(timer));
    socket.end(this.#busy);
    socket.resume();
  }

  /** Closes the sockets that are not among `paths`. */
  keep(paths: ReadonlySet<string>): void {
    for (const [path, server] of this.#servers) {
      if (paths.has(path)) continue;
      server.close();
      unlinkSocket(path);
      this.#servers.delete(path);
    }
  }
}

/**
 * Makes `link`, below the account's home, a link to its control socket, as the account. Replaces a link; throws where
 * another file has that name.
 * @throws errno errors
 */
export const linkFromHome = (account: Account, identity: FileIdentity, link: string, target: string): void =>
  asUser(identity, () => {
    const path = join(account.home, link);
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    const old = lstatSync(path, { throwIfNoEntry: false });
    if (old?.isSymbolicLink()) {
      if (readlinkSync(path) === target) return;
      rmSync(path);
    }
    symlinkSync(target, path);
  });
