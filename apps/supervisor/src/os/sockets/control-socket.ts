/** The sockets of the control API: one a user, one for everybody, and in each connection the kernel's word on who it is. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import { type FileIdentity, peerCredentials } from "../kernel/libc.ts";
import { privileged } from "../kernel/privileges.ts";
import { takeAway } from "./listening-socket.ts";

/** Connections of one uid at a time. */
const MOST_CONNECTIONS = 32;

const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1;

/** Accepts connections on any number of sockets and hands each on with the uid of its peer. */
export class ControlSockets {
  readonly #servers = new Map<string, Server>();
  readonly #counts = new Map<number, number>();
  readonly #accept: (socket: Socket, uid: number) => void;

  constructor(accept: (socket: Socket, uid: number) => void) {
    this.#accept = accept;
  }

  /**
   * Listens at `path`, whose directory is made if need be and belongs to the supervisor. `account` undefined: everybody may
   * connect; else only that account and root may.
   * @throws errno errors
   */
  async open(path: string, account: Account | undefined): Promise<void> {
    const former = lstatSync(path, { throwIfNoEntry: false });
    if (this.#servers.has(path) && former?.isSocket() && (!account || former.uid === account.uid || !privileged))
      return;
    this.#servers.get(path)?.close();
    const directory = dirname(path);
    mkdirSync(directory, { recursive: true });
    // The umask is narrower, and a user must be able to pass on the way to their socket.
    for (const passage of account ? [dirname(directory), directory] : [directory]) chmodSync(passage, 0o755);
    rmSync(path, { force: true });
    const server = createServer((socket) => this.#receive(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    // In this order: afterwards it is the user's, and a root without CAP_FOWNER has no more say in it.
    chmodSync(path, account ? 0o600 : 0o666);
    if (account && privileged) chownSync(path, account.uid, account.gid);
    this.#servers.set(path, server);
  }

  #receive(socket: Socket): void {
    socket.on("error", () => undefined);
    let uid: number;
    try {
      uid = peerCredentials(descriptorOf(socket)).uid;
    } catch {
      socket.destroy();
      return;
    }
    const count = (this.#counts.get(uid) ?? 0) + 1;
    if (count > MOST_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#counts.set(uid, count);
    socket.on("close", () => {
      const left = (this.#counts.get(uid) ?? 1) - 1;
      if (left === 0) this.#counts.delete(uid);
      else this.#counts.set(uid, left);
    });
    this.#accept(socket, uid);
  }

  /** Closes the sockets that are not among `paths`. */
  keep(paths: ReadonlySet<string>): void {
    for (const [path, server] of this.#servers) {
      if (paths.has(path)) continue;
      server.close();
      takeAway(path);
      this.#servers.delete(path);
    }
  }
}

/**
 * Points `link`, below the account's home, to its control socket, as the account. A link there is replaced; anything else
 * is the user's own and left.
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
