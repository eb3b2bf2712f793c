/** The connection to the broker: requests whose answers come later, and its events. */
import { connect, type Socket } from "node:net";
import {
  BROKER_VERSION,
  type BrokerContainer,
  type BrokerEvent,
  type BrokerRequests,
  type BrokerResults,
  type BrokerVerb,
  type HelloResult,
  LONGEST_ANSWER,
} from "@dmhost/broker-contract";
import { messageOf } from "../core/error-message.ts";

/** Why a request was not carried out, in words. */
export type Failed = (reason: string) => void;

/** What the broker reports without a request. */
interface BrokerListener {
  /** It is connected; these are the containers that it has. */
  connected(containers: readonly BrokerContainer[]): void;
  event(event: BrokerEvent["event"]): void;
}

/** A request that has no answer. */
interface Pending {
  readonly line: string;
  readonly answered: (result: unknown) => void;
  readonly failed: Failed;
  readonly progressed: ((percent: number) => void) | undefined;
  readonly timer: NodeJS.Timeout;
}

/** Between two attempts to connect, and how long a request waits for a connection. In ms. */
const RETRY = 1000;
const PATIENCE = 10_000;

export class BrokerLink {
  /** The engine, once it is known. */
  engine: HelloResult | undefined;
  readonly #path: string;
  readonly #report: (problem: string) => void;
  #listener: BrokerListener | undefined;
  /** By id. Those that are not sent yet have the highest ones. */
  readonly #pending = new Map<number, Pending>();
  #id = 0;
  /** The id of the latest `hello`. */
  #hello = 0;
  #socket: Socket | undefined;
  /** Whether `hello` was answered. */
  #isReady = false;
  /** Why there is no connection, in words. */
  #problem = "it has not been reached yet";
  #rest = "";
  #retry: NodeJS.Timeout | undefined;

  /** @param report called with a reason when the broker cannot be used, once until it can */
  constructor(path: string, report: (problem: string) => void) {
    this.#path = path;
    this.#report = report;
  }

  /** Connects, and connects again whenever the connection ends. */
  start(listener: BrokerListener): void {
    this.#listener = listener;
    this.#connect();
  }

  /** Sends a request, at the latest when it is connected. @param progressed called with per cent of a pull */
  request<V extends BrokerVerb>(
    verb: V,
    fields: Omit<BrokerRequests[V], "id" | "verb">,
    answered: (result: BrokerResults[V]) => void,
    failed: Failed,
    progressed?: (percent: number) => void,
  ): void {
    this.#id += 1;
    const id = this.#id;
    const timer = setTimeout(() => {
      if (!this.#isReady) this.#take(id)?.failed(this.#unreachable());
    }, PATIENCE);
    const line = `${JSON.stringify({ ...fields, id, verb })}\n`;
    // The contract's schemas are checked by the broker, which makes the results.
    this.#pending.set(id, { line, answered: answered as Pending["answered"], failed, progressed, timer });
    if (this.#isReady) this.#socket?.write(line);
  }

  close(): void {
    clearTimeout(this.#retry);
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
    this.#listener = undefined;
    this.#socket?.destroy();
  }

  #unreachable(): string {
    return `the broker at ${this.#path} cannot be used: ${this.#problem}`;
  }

  #take(id: number): Pending | undefined {
    const request = this.#pending.get(id);
    if (request) clearTimeout(request.timer);
    this.#pending.delete(id);
    return request;
  }

  #connect(): void {
    const socket = connect(this.#path);
    this.#socket = socket;
    this.#rest = "";
    socket.setEncoding("utf8");
    socket.on("connect", () => this.#greet());
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", (error) => this.#fail(messageOf(error)));
    socket.on("close", () => this.#closed());
  }

  #fail(problem: string): void {
    if (problem !== this.#problem) this.#report(problem);
    this.#problem = problem;
  }

  #closed(): void {
    if (this.#listener === undefined) return;
    if (this.#isReady) this.#fail("it has closed the connection");
    // Nobody knows whether a request that was sent has been carried out: `list` of the next connection shows it.
    const lost = this.#isReady ? [...this.#pending.keys()] : [];
    this.#isReady = false;
    this.#take(this.#hello);
    for (const id of lost) this.#take(id)?.failed(this.#unreachable());
    this.#retry = setTimeout(() => this.#connect(), RETRY);
    this.#retry.unref();
  }

  #greet(): void {
    this.#id += 1;
    this.#hello = this.#id;
    const timer = setTimeout(() => this.#socket?.destroy(), PATIENCE);
    const failed = (reason: string): void => {
      this.#fail(reason);
      this.#socket?.destroy();
    };
    const answered = (result: unknown): void => {
      this.engine = result as HelloResult;
      this.#isReady = true;
      this.#problem = "";
      for (const { line } of this.#pending.values()) this.#socket?.write(line);
      this.request("list", {}, ({ containers }) => this.#listener?.connected(containers), failed);
    };
    const line = `${JSON.stringify({ id: this.#id, verb: "hello", version: BROKER_VERSION })}\n`;
    this.#pending.set(this.#id, { line, answered, failed, progressed: undefined, timer });
    this.#socket?.write(line);
  }

  #receive(text: string): void {
    const lines = `${this.#rest}${text}`.split("\n");
    this.#rest = lines.pop() ?? "";
    try {
      if (this.#rest.length > LONGEST_ANSWER) throw new Error("it has sent too long a line");
      for (const line of lines) this.#handle(JSON.parse(line));
    } catch (error) {
      this.#fail(messageOf(error));
      this.#socket?.destroy();
    }
  }

  #handle(message: {
    readonly id?: number;
    readonly event?: BrokerEvent["event"];
    readonly progress?: { readonly percent: number };
    readonly error?: { readonly reason: string };
    readonly result?: unknown;
  }): void {
    const { id, event, progress, error } = message;
    if (event !== undefined) this.#listener?.event(event);
    if (id === undefined) return;
    if (progress !== undefined) {
      this.#pending.get(id)?.progressed?.(progress.percent);
      return;
    }
    const request = this.#take(id);
    if (error !== undefined) request?.failed(error.reason);
    else request?.answered(message.result);
  }
}
