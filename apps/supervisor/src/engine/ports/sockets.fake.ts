import type { DaemonKey } from "../../core/daemon-key.ts";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ClientProbe, ProcessIdentity } from "./runs.ts";
import type { BindDirectory, HeldSocket, Listeners, Sockets } from "./sockets.ts";

/** A listening socket with a queue of clients, driven by the test. */
export class FakeSocket implements HeldSocket {
  readonly path: string;
  descriptor = 20;
  readonly file = 99;
  readonly fresh: boolean;
  admits: boolean | undefined;
  closed = false;
  /** Inodes of clients in the accept queue. */
  waiting: number[] = [];
  touched = false;
  published = true;
  /** Thrown by the next `dismiss`. */
  error: Error | undefined;
  #came: (() => void) | undefined;

  constructor(path: string, fresh: boolean) {
    this.path = path;
    this.fresh = fresh;
  }
  intact(): boolean {
    return this.published;
  }
  widen(): void {}
  admit(clients: boolean): void {
    this.admits = clients;
  }
  dismiss(): void {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
    if (this.waiting.length > 0) this.descriptor += 1;
    this.waiting = [];
    this.#came = undefined;
  }
  mark(): void {
    this.touched = false;
  }
  observe(): SocketEvidence {
    return { waiting: [...this.waiting], touched: this.touched };
  }
  awaitClient(came: () => void): void {
    this.#came = came;
    if (this.waiting.length > 0) this.#tell();
  }
  close(): void {
    this.closed = true;
  }

  /** A client connects; false where it is refused. */
  connect(inode: number): boolean {
    if (!this.admits || this.closed) return false;
    this.waiting.push(inode);
    this.touched = true;
    this.#tell();
    return true;
  }
  /** A process accepts the first client. */
  accept(): number | undefined {
    return this.waiting.shift();
  }
  #tell(): void {
    const came = this.#came;
    this.#came = undefined;
    came?.();
  }
}

/** A bind directory, driven by the test. */
export class FakeBindDirectory implements BindDirectory {
  readonly path: string;
  /** Runs whose process listens on its socket. */
  readonly listening = new Set<number>();
  publishedRun: number | undefined;
  held: string | undefined;
  readonly provided: number[] = [];
  readonly cleared: number[] = [];
  closed = false;

  constructor(path: string) {
    this.path = path;
  }
  provide(run: number): string {
    this.provided.push(run);
    return `/bound/${run}/socket`;
  }
  publish(run: number): boolean {
    if (!this.listening.has(run)) return false;
    this.publishedRun = run;
    return true;
  }
  excess(_run: number): Promise<string | undefined> {
    return Promise.resolve(this.held);
  }
  probe(_run: number): ClientProbe {
    return { look: () => () => false };
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
  /** Whether the socket of a live run can be taken from it. */
  takes = true;

  open(key: DaemonKey, group: string, listeners: Listeners): FakeSocket {
    this.#fail();
    return this.take(key, group, listeners) ?? this.#hold(key, true);
  }
  take(key: DaemonKey, _group: string, { leaders }: Listeners): FakeSocket | undefined {
    return this.takes && leaders.length > 0 ? this.#hold(key, false) : undefined;
  }
  openBindDirectory(
    { owner, name }: DaemonKey,
    _group: string,
    _binder: Account,
    _leaders: () => readonly ProcessIdentity[],
  ): FakeBindDirectory {
    this.#fail();
    const directory = new FakeBindDirectory(`/run/fastcgi/${owner.name}/${name}.sock`);
    this.directories.push(directory);
    return directory;
  }
  removeStray(owner: string, name: string): void {
    this.strays.push(`${owner}/${name}`);
  }

  #fail(): void {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
  }
  #hold({ owner, name }: DaemonKey, fresh: boolean): FakeSocket {
    const socket = new FakeSocket(`/run/fastcgi/${owner.name}/${name}.sock`, fresh);
    this.opened.push(socket);
    return socket;
  }

  /** The socket that was opened last and is open. */
  get current(): FakeSocket | undefined {
    return this.opened.findLast(({ closed }) => !closed);
  }
}
