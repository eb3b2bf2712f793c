import type { DaemonKey } from "../../core/daemon-key.ts";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ProcessIdentity } from "./processes.ts";
import type { BindDirectory, HeldSocket, Sockets } from "./sockets.ts";

/** File numbers are never used twice. */
let numbers = 20;
const nextNumber = (): number => {
  numbers += 1;
  return numbers;
};

/** A listening socket with a queue of clients, driven by the test. */
class FakeSocket implements HeldSocket {
  readonly path: string;
  file: number;
  readonly isNew: boolean;
  readonly group: string;
  /** Main processes of the runs that its daemon had when it was opened. */
  readonly leaders: readonly ProcessIdentity[];
  admits: boolean | undefined;
  closed = false;
  /** Inodes of clients in the accept queue. */
  waiting: number[] = [];
  /** Inodes of clients that have left the queue's other end: the queue keeps them. */
  readonly left = new Set<number>();
  touched = false;
  /** Whether the socket at its path is this one. */
  published = true;
  restored = 0;
  /** Thrown by the next `dismiss`. */
  error: Error | undefined;
  #came: (() => void) | undefined;
  readonly #wake: (then: () => void) => void;

  /** @param former the socket of an earlier supervisor that it continues */
  constructor(
    path: string,
    former: FakeSocket | undefined,
    group: string,
    leaders: readonly ProcessIdentity[],
    wake: (then: () => void) => void,
  ) {
    this.path = path;
    this.group = group;
    this.leaders = leaders;
    this.isNew = former === undefined;
    this.file = former?.file ?? nextNumber();
    this.waiting = former?.waiting ?? [];
    this.#wake = wake;
  }
  restore(): boolean {
    this.restored += 1;
    return this.published;
  }
  isPublished(): boolean {
    return this.published;
  }
  admit(clients: boolean): void {
    this.admits = clients;
  }
  refuseWaiting(): void {
    const { error } = this;
    this.error = undefined;
    this.#came = undefined;
    if (error) throw error;
    if (this.waiting.length === 0) return;
    // Clients that wait are refused only by closing: another socket takes its place.
    this.file = nextNumber();
    this.waiting = [];
  }
  mark(): void {
    this.touched = false;
  }
  observe(): SocketEvidence {
    const { waiting, left, touched } = this;
    return { waiting: waiting.filter((inode) => !left.has(inode)), queued: waiting.length > 0, touched };
  }
  awaitClient(came: () => void): void {
    this.#came = came;
    if (this.waiting.length > 0) this.#report();
  }
  close(): void {
    this.closed = true;
    this.#came = undefined;
  }

  /** A client connects; false where it is refused. */
  connect(inode: number): boolean {
    if (!this.admits || this.closed || !this.published) return false;
    this.waiting.push(inode);
    this.touched = true;
    this.#report();
    return true;
  }
  /** A process accepts the first client. */
  accept(): number | undefined {
    return this.waiting.shift();
  }
  /** In a later turn, as a poller does. */
  #report(): void {
    this.#wake(() => {
      const came = this.#came;
      this.#came = undefined;
      came?.();
    });
  }
}

/** A bind directory, driven by the test. */
class FakeBindDirectory implements BindDirectory {
  readonly path: string;
  /** Runs whose process listens on its socket. */
  readonly listening = new Set<number>();
  publishedRun: number | undefined;
  /** Whether every run listens on its socket at once. */
  binds = false;
  /** Result of `excess`. */
  held: string | undefined;
  readonly provided: number[] = [];
  /** Thrown by each `provide`. */
  error: Error | undefined;
  readonly cleared: number[] = [];
  closed = false;

  readonly group: string;
  readonly binder: Account;
  /** Main processes of the daemon's runs at present. */
  readonly leaders: () => readonly ProcessIdentity[];

  constructor(path: string, group: string, binder: Account, leaders: () => readonly ProcessIdentity[]) {
    this.path = path;
    this.group = group;
    this.binder = binder;
    this.leaders = leaders;
  }
  provide(run: number): string {
    if (this.error) throw this.error;
    this.provided.push(run);
    return `/bound/${run}/socket`;
  }
  publish(run: number): boolean {
    if (!this.binds && !this.listening.has(run)) return false;
    this.publishedRun = run;
    return true;
  }
  excess(_run: number): Promise<string | undefined> {
    return Promise.resolve(this.held);
  }
  clear(run: number): void {
    this.cleared.push(run);
    this.listening.delete(run);
  }
  close(): void {
    this.closed = true;
  }
}

export class FakeSockets implements Sockets {
  readonly opened: FakeSocket[] = [];
  readonly directories: FakeBindDirectory[] = [];
  readonly strays: string[] = [];
  /** Thrown by the next call. */
  error: Error | undefined;
  /** Whether every run listens in the next bind directories at once. */
  binds = false;
  /** Sockets of an earlier supervisor, by path. */
  readonly #kept = new Map<string, FakeSocket>();
  readonly #later: (then: () => void) => void;

  /** @param later runs something in a later turn of the supervisor */
  constructor(later: (then: () => void) => void) {
    this.#later = later;
  }

  open(key: DaemonKey, group: string, leaders: readonly ProcessIdentity[]): FakeSocket {
    this.#fail();
    const path = pathOf(key);
    const kept = this.#kept.get(path);
    this.#kept.delete(path);
    const socket = new FakeSocket(path, kept?.published ? kept : undefined, group, leaders, this.#later);
    for (const other of this.opened) if (other.path === path) other.published = false;
    this.opened.push(socket);
    return socket;
  }
  openBindDirectory(
    key: DaemonKey,
    group: string,
    binder: Account,
    leaders: () => readonly ProcessIdentity[],
  ): FakeBindDirectory {
    this.#fail();
    const directory = new FakeBindDirectory(pathOf(key), group, binder, leaders);
    directory.binds = this.binds;
    this.directories.push(directory);
    return directory;
  }
  removeStray(owner: string, name: string): void {
    this.strays.push(`${owner}/${name}`);
  }
  removeStrays(isKnown: (daemon: string) => boolean): void {
    for (const path of this.#kept.keys()) {
      if (isKnown(path.slice("/run/fastcgi/".length, -".sock".length))) continue;
      this.strays.push(path);
      this.#kept.delete(path);
    }
  }

  #fail(): void {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
  }

  /** The socket that was opened last and is open. */
  get current(): FakeSocket | undefined {
    return this.opened.findLast(({ closed }) => !closed);
  }
  /** The supervisor dies: the next one continues its sockets. */
  forget(): void {
    for (const socket of this.opened) {
      if (socket.closed) continue;
      socket.close();
      this.#kept.set(socket.path, socket);
    }
    for (const directory of this.directories) directory.close();
  }
  /** The shim dies, which held them. */
  die(): void {
    this.#kept.clear();
  }
}

const pathOf = ({ owner, name }: DaemonKey): string => `/run/fastcgi/${owner.name}/${name}.sock`;
