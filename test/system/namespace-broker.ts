/**
 * A broker for tests without an engine: its containers are namespaces of this machine, whose files they see. Their account comes
 * from the supervisor's policy in the tests with a real engine (test/appliance), here from the test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { lstatSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { BrokerContainer, BrokerImage, BrokerRequest, MakeRequest, MakeResult } from "@dmhost/broker-contract";
import type { Account } from "./account.ts";
import { childrenOf, kill } from "./proc.ts";
import { CHECKOUT } from "./program.ts";

interface Container extends BrokerContainer {
  readonly process: ChildProcess;
}

/** The image of every container. */
export interface Image {
  readonly command: readonly string[];
  readonly environment: readonly string[];
  readonly directory: string;
}

export class NamespaceBroker {
  readonly path: string;
  /** Made since the start, in that order; by owner/name. */
  readonly made: string[] = [];
  /** Verbs of all requests. */
  readonly verbs: string[] = [];
  images: readonly BrokerImage[] = [];
  /** Why the next `make` is refused. */
  refusal: string | undefined;
  /** Whether `make` is not answered, so that the supervisor can be killed meanwhile. */
  isSlow = false;
  readonly #guests: string;
  readonly #accountOf: (owner: string) => Account;
  readonly #image: Image;
  readonly #containers = new Map<string, Container>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(path: string, guests: string, accountOf: (owner: string) => Account, image: Image) {
    this.path = path;
    this.#guests = guests;
    this.#accountOf = accountOf;
    this.#image = image;
  }

  get running(): readonly Container[] {
    return [...this.#containers.values()].filter(({ process }) => isAlive(process));
  }
  get known(): readonly Container[] {
    return [...this.#containers.values()];
  }

  async start(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    server.listen(this.path);
    await once(server, "listening");
  }

  /** Ends its connections: the containers stay. */
  async stop(): Promise<void> {
    const server = this.#server;
    for (const socket of this.#sockets) socket.destroy();
    if (server?.listening) await new Promise((resolve) => server.close(resolve));
  }

  /** Kills a container as the engine does. */
  kill(id: string): void {
    // Its first process does not end with unshare(1): it has changed its account.
    for (const pid of childrenOf(this.#containers.get(id)?.process.pid ?? 0)) kill(pid);
  }

  async remove(): Promise<void> {
    await this.stop();
    for (const { container, process } of this.#containers.values()) {
      const ended = isAlive(process) ? once(process, "exit") : undefined;
      this.kill(container);
      await ended;
    }
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    const lines = createInterface(socket);
    // It repeats the errors of its input.
    lines.on("error", () => undefined);
    lines.on("line", (line) => this.#answer(socket, JSON.parse(line)));
  }

  #answer(socket: Socket, request: BrokerRequest): void {
    const { id, verb } = request;
    const send = (message: object): void => {
      socket.write(`${JSON.stringify({ id, ...message })}\n`);
    };
    this.verbs.push(verb);
    if (verb === "hello") send({ result: { engine: "namespaces", cgroupDriver: "systemd", cgroupVersion: 2 } });
    if (verb === "pull") {
      send({ progress: { percent: 42 } });
      send({ result: {} });
    }
    if (verb === "list") send({ result: { containers: this.known.map((each) => described(each)) } });
    if (verb === "remove") {
      this.kill(request.container);
      this.#containers.delete(request.container);
      send({ result: {} });
    }
    if (verb === "images") send({ result: { images: this.images } });
    if (verb === "accept") {
      this.images = this.images.map((each) => (each.image === request.image ? { ...each, moved: false } : each));
      send({ result: {} });
    }
    if (verb !== "make") return;
    const reason = this.refusal;
    this.refusal = undefined;
    if (reason !== undefined) send({ error: { code: "refused", reason } });
    else this.#make(request, send);
  }

  #make(request: MakeRequest, send: (message: object) => void): void {
    const account = this.#accountOf(request.owner);
    const container = randomBytes(32).toString("hex");
    const { dev, ino } = lstatSync(account.home, { bigint: true });
    const process = start(join(this.#guests, request.guest), request.token, account);
    const { owner, name, instance, run } = request;
    this.#containers.set(container, {
      ...{ container, owner, name, instance, run, process },
      ...{ running: true, exitCode: null, oomKilled: false },
    });
    this.made.push(`${owner}/${name}`);
    const home = { path: account.home, device: `${dev}`, inode: `${ino}` };
    const result: MakeResult = {
      container,
      command: [...this.#image.command],
      environment: [...this.#image.environment],
      directory: this.#image.directory,
      home,
    };
    if (!this.isSlow) send({ result });
  }
}

const isAlive = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null;

const described = ({ process, ...container }: Container): BrokerContainer => ({
  ...container,
  running: isAlive(process),
  exitCode: isAlive(process) ? null : (process.exitCode ?? 137),
});

/** Starts the first process in new namespaces, where the directory of the guest is at /run/dmhost. */
const start = (guest: string, token: string, { uid, gid }: Account): ChildProcess => {
  const ids = `--reuid ${uid} --regid ${gid} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all`;
  const script = [
    "mount -t tmpfs none /run && mkdir /run/dmhost",
    `mount --bind '${guest}' /run/dmhost`,
    `exec setpriv ${ids} '${join(CHECKOUT, "shim/dmhost-shim")}' -j /run/dmhost/shim.sock`,
  ].join(" && ");
  return spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "sh", "-c", script], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", DMHOST_TOKEN: token },
  });
};
