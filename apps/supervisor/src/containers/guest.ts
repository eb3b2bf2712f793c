/** One container, from its making to its end: the broker makes it, and its shim connects to a socket that is bound into it alone. */
import { randomBytes } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { GUEST_SOCKET, type MakeResult } from "@dmhost/broker-contract";
import type { InstanceKey } from "../core/daemon-key.ts";
import { messageOf } from "../core/error-message.ts";
import type { Account } from "../core/policy-rules.ts";
import type { ImageDefaults } from "../launch/container.ts";
import { memoryGroupOf } from "../os/limits/usage.ts";
import { ContainerShim } from "../os/shim/container-shim.ts";
import type { ShimLink } from "../os/shim/link.ts";
import type { ShimRun } from "../os/shim/objects.ts";
import type { BrokerLink } from "./broker-link.ts";
import { containerName, meetingName } from "./guest-names.ts";

/** What a container needs of this machine. */
interface GuestMachine {
  readonly link: ShimLink;
  readonly broker: BrokerLink;
  /** Directory of the directories that are bound into one container each. */
  readonly directory: string;
  /** Called when it is over: the broker may still have it. */
  readonly over: (guest: Guest) => void;
}

/** Events of a container; after `failed` and `gone` none follows. */
interface GuestListener {
  /** Its making waits for something, in words; "" when it continues. */
  waiting(reason: string): void;
  /** Programs can be launched in it. */
  ready(): void;
  /** It could not be made. */
  failed(stage: string, reason: string): void;
  /** A run in it has changed: its state now. */
  run(run: ShimRun): void;
  /** It has ended, with all processes. @param oomKilled whether because of its memory limit, as far as the engine knows */
  gone(oomKilled: boolean): void;
}

/** What its programs get: names of what the shim of this machine holds. */
export interface Held {
  readonly socket: string | undefined;
  readonly fifo: string | undefined;
}

/** What a new container is made for. */
interface Making {
  readonly account: Account;
  readonly held: Held;
  /** Path of its parent in the hierarchy of cgroups, where it is to be in one of ours. */
  readonly cgroup: string | undefined;
}

/** From the container's start until its shim has connected, at most. In ms. */
const LONGEST_JOIN = 30_000;
/** For the broker to say how a container ended, at most. In ms. */
const LONGEST_ANSWER = 1000;
const NOBODY: GuestListener = {
  waiting: () => undefined,
  ready: () => undefined,
  failed: () => undefined,
  run: () => undefined,
  gone: () => undefined,
};

export class Guest {
  readonly name: string;
  /** Number of the run that it was made for. */
  readonly made: number;
  /** The engine's id, once it is known. */
  id: string | undefined;
  /** Its process 1 as this machine sees it; 0 where that cannot be seen, or has not connected. */
  pid = 0;
  /** Where the kernel counts its memory; undefined where that cannot be seen. */
  memoryGroup: string | undefined;
  listener: GuestListener = NOBODY;
  readonly #key: InstanceKey;
  readonly #machine: GuestMachine;
  #held: Held = { socket: undefined, fifo: undefined };
  #shim: ContainerShim | undefined;
  #image: MakeResult | undefined;
  #meeting: { readonly name: string; readonly path: string; readonly token: string } | undefined;
  #hasJoined = false;
  readonly #runs = new Map<string, ShimRun>();
  readonly #finished = new Set<string>();
  #isOver = false;
  #hasLeft = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(key: InstanceKey, made: number, machine: GuestMachine) {
    this.#key = key;
    this.#machine = machine;
    this.made = made;
    this.name = containerName(key, made);
  }

  get isOver(): boolean {
    return this.#isOver;
  }
  /** Whether programs can be launched in it now. */
  get isReady(): boolean {
    return this.#hasJoined && this.#image !== undefined && !this.#isOver;
  }
  get shim(): ContainerShim | undefined {
    return this.#shim;
  }
  get image(): ImageDefaults | undefined {
    return this.#image;
  }
  holds({ socket, fifo }: Held): boolean {
    return this.#held.socket === socket && this.#held.fifo === fifo;
  }

  /** Has it made. Its events come later. */
  make({ account, held, cgroup }: Making): void {
    this.#held = held;
    try {
      this.#meet(account);
    } catch (error) {
      const reason = messageOf(error);
      setImmediate(() => this.#fail("creating its container", reason));
      return;
    }
    const { owner, name } = this.#key;
    this.#machine.broker.request(
      "pull",
      { owner: owner.name, name },
      () => this.#create(cgroup),
      (reason) => this.#fail("pulling its image", reason),
      (percent) => this.#isOver || this.listener.waiting(`pulling ${percent} %`),
    );
  }

  /** Continues with one of an earlier supervisor; each run in it follows as an event. @param pid of its process 1 */
  adopt(pid: number): void {
    this.#become(pid);
    this.#hasJoined = true;
    this.#shim = this.#follow();
    this.#shim.greet();
  }

  /** Ends it although processes of it do not end; `gone` follows. */
  kill(): void {
    if (!this.#isOver) this.#gone();
  }

  /** The latest state of a run in it. */
  stateOf(run: string): ShimRun | undefined {
    return this.#runs.get(run);
  }
  /** A run in it is over; its exit can be acknowledged. */
  finish(run: string): void {
    this.#finished.add(run);
  }
  /** Acknowledges the exits of the runs that are over: to be called when everything about them has been recorded. */
  acknowledge(): void {
    for (const run of this.#finished) {
      this.#runs.delete(run);
      if (!this.#isOver) this.#shim?.forget(run);
    }
    this.#finished.clear();
  }

  /** Ends it. No event follows. */
  close(): void {
    if (this.#isOver) return;
    this.#end();
    this.#remove();
  }

  /** The engine reports its end: its shim may not have connected. */
  ended(exitCode: number): void {
    if (this.#hasJoined) return;
    this.#fail(
      "starting its container",
      `it ended with code ${exitCode} before its shim connected; the engine's log says more`,
    );
  }

  #meet(account: Account): void {
    const { link, directory } = this.#machine;
    const guest = randomBytes(12).toString("hex");
    const path = join(directory, guest);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    chmodSync(directory, 0o700);
    chmodSync(path, 0o755);
    const name = meetingName(guest);
    this.#meeting = { name, path, token: randomBytes(24).toString("base64url") };
    const { uid, gid } = account;
    link.listen(name, { path: join(path, GUEST_SOCKET), backlog: 1, uid, gid, mode: 0o600 });
    link.awaitClient(name, () => this.#admit(account, name));
  }

  #create(cgroup: string | undefined): void {
    if (this.#isOver || this.#meeting === undefined) return;
    this.listener.waiting("for its container");
    const { owner, name, instance } = this.#key;
    const { path, token } = this.#meeting;
    const guest = path.slice(path.lastIndexOf("/") + 1);
    this.#machine.broker.request(
      "make",
      { owner: owner.name, name, instance, run: this.made, guest, token, ...(cgroup !== undefined && { cgroup }) },
      (result) => {
        this.id = result.container;
        this.#image = result;
        if (this.#isOver) this.#remove();
        else this.#proceed();
      },
      (reason) => this.#fail("creating its container", reason),
    );
    this.#timer = setTimeout(() => {
      const why = `its shim has not connected within ${LONGEST_JOIN / 1000}s; the engine's log may say why`;
      this.#fail("starting its container", why);
    }, LONGEST_JOIN);
  }

  #admit({ name: user, uid }: Account, meeting: string): void {
    if (this.#isOver) return;
    const { link } = this.#machine;
    try {
      const found = link.requests.admit(this.name, meeting);
      this.#leaveMeeting();
      this.#become(found.pid);
      this.#shim = this.#follow();
      if (found.uid !== uid) throw new Error(`a process with uid ${found.uid} has connected instead of ${user}`);
    } catch (error) {
      this.#fail("starting its container", messageOf(error));
    }
  }

  #become(pid: number): void {
    this.pid = pid;
    this.memoryGroup = pid === 0 ? undefined : memoryGroupOf(pid);
  }

  #follow(): ContainerShim {
    const { link } = this.#machine;
    return new ContainerShim(link, this.name, {
      joined: (token) => this.#join(token),
      run: (run) => this.#changed(run),
      gone: () => this.#gone(),
    });
  }

  #changed(run: ShimRun): void {
    if (this.#isOver) return;
    this.#runs.set(run.name, run);
    this.listener.run(run);
  }

  #join(token: string): void {
    if (this.#isOver || this.#hasJoined) return;
    if (token !== this.#meeting?.token) {
      this.#fail("starting its container", "another program than its shim has connected");
      return;
    }
    this.#hasJoined = true;
    this.#proceed();
  }

  /** Gives it what it needs when its shim has connected and the broker has answered, in either order. */
  #proceed(): void {
    if (!this.#hasJoined || this.#image === undefined) return;
    clearTimeout(this.#timer);
    try {
      this.#requireHome(this.#image.home);
      const { requests } = this.#machine.link;
      for (const kind of ["socket", "fifo"] as const) {
        const held = this.#held[kind];
        if (held !== undefined) requests.give(this.name, kind, held);
      }
    } catch (error) {
      this.#fail("starting its container", messageOf(error));
      return;
    }
    this.#shim?.greet();
    this.listener.waiting("");
    this.listener.ready();
  }

  /** Where its processes can be seen: it has the home that was there before, not what a link led to since (security.md#22). */
  #requireHome({ path, device, inode }: MakeResult["home"]): void {
    if (this.pid === 0) return;
    const { dev, ino } = lstatSync(`/proc/${this.pid}/root${path}`, { bigint: true });
    if (`${dev}` !== device || `${ino}` !== inode) throw new Error(`${path} in it is another directory than the home`);
  }

  #gone(): void {
    if (this.#isOver) return;
    if (!this.isReady && !this.#hasJoined) {
      this.#fail("starting its container", "it ended");
      return;
    }
    this.#end();
    const { listener, id } = this;
    let isReported = false;
    const tell = (oomKilled: boolean): void => {
      if (isReported) return;
      isReported = true;
      clearTimeout(timer);
      listener.gone(oomKilled);
      this.#remove();
    };
    const timer = setTimeout(() => tell(false), LONGEST_ANSWER);
    this.#machine.broker.request(
      "list",
      {},
      ({ containers }) => tell(containers.some(({ container, oomKilled }) => container === id && oomKilled)),
      () => tell(false),
    );
  }

  #fail(stage: string, reason: string): void {
    if (this.#isOver) return;
    this.#end();
    this.#remove();
    this.listener.failed(stage, reason);
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#leaveMeeting();
    this.#shim?.close();
    this.#machine.over(this);
  }

  #leaveMeeting(): void {
    if (this.#meeting === undefined || this.#hasLeft) return;
    this.#hasLeft = true;
    const { link } = this.#machine;
    const { name, path } = this.#meeting;
    link.ignoreClients(name);
    link.requests.release("socket", name);
    rmSync(path, { recursive: true, force: true });
  }

  #remove(): void {
    if (this.id === undefined) return;
    // Where that fails, the next `list` shows it, and it is removed then.
    this.#machine.broker.request(
      "remove",
      { container: this.id },
      () => undefined,
      () => undefined,
    );
  }
}
