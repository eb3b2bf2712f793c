/** A broker from source, as a process, and the connection of a supervisor to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type {
  BrokerErrorCode,
  BrokerEvent,
  BrokerRequest,
  BrokerRequests,
  BrokerResults,
  BrokerVerb,
} from "@dmhost/broker-contract";
import { CHECKOUT, eventually } from "./appliance.ts";

/** The answer to a request that was not carried out. */
export class BrokerRefusal extends Error {
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, reason: string) {
    super(`${code}: ${reason}`);
    this.code = code;
  }
}

type Fields<V extends BrokerVerb> = Omit<BrokerRequests[V], "id" | "verb">;
type Answer = {
  readonly id?: number;
  readonly result?: unknown;
  readonly progress?: { readonly percent: number };
  readonly error?: { code: BrokerErrorCode; reason: string };
};

/** A connection, as the supervisor has one. */
export class BrokerConnection {
  readonly socket: Socket;
  readonly events: BrokerEvent["event"][] = [];
  /** Progress of all pulls. */
  readonly percentages: number[] = [];
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(JSON.parse(line));
    });
    socket.on("close", () => {
      for (const { reject } of this.#open.values()) reject(new Error("the connection has ended"));
    });
  }

  request<V extends BrokerVerb>(verb: V, fields: Fields<V>): Promise<BrokerResults[V]> {
    this.#last += 1;
    const message = { id: this.#last, verb, ...fields } as unknown as BrokerRequest;
    const answer = Promise.withResolvers<unknown>();
    if (this.socket.destroyed) return Promise.reject(new Error("the connection has ended"));
    this.#open.set(this.#last, answer);
    this.socket.write(`${JSON.stringify(message)}\n`);
    return answer.promise as Promise<BrokerResults[V]>;
  }

  #take(message: Answer | BrokerEvent): void {
    if ("event" in message) {
      this.events.push(message.event);
      return;
    }
    const { id = 0, result, error, progress } = message;
    if (progress) this.percentages.push(progress.percent);
    if (result === undefined && error === undefined) return;
    const answer = this.#open.get(id);
    this.#open.delete(id);
    if (error) answer?.reject(new BrokerRefusal(error.code, error.reason));
    else answer?.resolve(result);
  }
}

/** Where a broker has its files. */
export interface BrokerPlaces {
  readonly directory: string;
  readonly policy: string;
  /** Socket of the engine. */
  readonly engine: string;
  /** Words of a command that executes it. */
  readonly by?: readonly string[];
}

export class BrokerProcess {
  readonly #places: BrokerPlaces;
  #child: ChildProcess | undefined;
  /** What it wrote to standard error. */
  log = "";

  constructor(places: BrokerPlaces) {
    this.#places = places;
  }

  async start(): Promise<void> {
    const { directory, policy, engine, by = [] } = this.#places;
    const paths = { state: "state", guests: "guests", socket: "broker.sock" };
    const flags = Object.entries(paths).flatMap(([flag, path]) => [`--${flag}`, join(directory, path)]);
    const others = ["--config", policy, "--engine", engine, "--shim", join(CHECKOUT, "shim/dmhost-shim")];
    const program = join(CHECKOUT, "apps/broker/src/app/main.ts");
    const [file = "", ...args] = [...by, process.execPath, program, ...flags, ...others];
    const child = spawn(file, args, { stdio: ["ignore", "inherit", "pipe"] });
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
    const before = this.log.length;
    await eventually("the broker", async () => {
      if (child.exitCode !== null) throw new Error(`the broker ended: ${this.log}`);
      return this.log.slice(before).includes('"msg":"ready"') || undefined;
    });
  }

  async connect(): Promise<BrokerConnection> {
    const socket = connect(join(this.#places.directory, "broker.sock"));
    await once(socket, "connect");
    return new BrokerConnection(socket);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}
