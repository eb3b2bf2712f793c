/** Lines of the supervisor to requests, and their answers. Few are in hand at a time. */
import {
  type BrokerErrorCode,
  type BrokerVerb,
  LONGEST_ANSWER,
  MOST_REQUESTS,
  MOST_REQUESTS_OF_OWNER,
} from "@dmhost/broker-contract";
import { BROKER_REQUESTS, type BrokerRequest } from "@dmhost/broker-contract/schemas";
import Value from "typebox/value";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import { ContainerRefusal } from "../rules/refusal.ts";
import type { Broker } from "./broker.ts";

/** How answers go out. */
export interface Answers {
  /** Whether anyone gets them. */
  readonly isOpen: boolean;
  send(message: unknown): void;
  /** Ends the connection: the line was none of the contract's. */
  close(): void;
}

type Verbs = Pick<Broker, BrokerVerb | "discard">;

const idOf = (value: unknown): number | undefined => {
  const id = typeof value === "object" && value !== null && "id" in value ? value.id : undefined;
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 0 ? id : undefined;
};

const isVerb = (value: unknown): value is BrokerVerb =>
  typeof value === "string" && Object.hasOwn(BROKER_REQUESTS, value);

/** The request; the reason where it is none. */
const requestIn = (value: object): BrokerRequest | string => {
  const verb = "verb" in value ? value.verb : undefined;
  if (!isVerb(verb)) return `expected a verb, one of ${Object.keys(BROKER_REQUESTS).join(", ")}`;
  const schema = BROKER_REQUESTS[verb];
  if (Value.Check(schema, value)) return value as BrokerRequest;
  const [first] = Value.Errors(schema, value);
  return `${verb}: ${first?.instancePath.slice(1, 60) || "the request"} ${first?.message.slice(0, 200) ?? "has another form"}`;
};

/** Requests of all connections. */
export class Requests {
  readonly #broker: Verbs;
  readonly #fault: (error: unknown, verb: BrokerVerb) => void;
  /** Owners of the requests in hand; "" for one that names none. */
  readonly #inHand: string[] = [];

  /** @param fault called with an error that is no refusal */
  constructor(broker: Verbs, fault: (error: unknown, verb: BrokerVerb) => void) {
    this.#broker = broker;
    this.#fault = fault;
  }

  /** Carries out a line and answers it. */
  async take(line: string, answers: Answers): Promise<void> {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      answers.close();
      return;
    }
    const id = idOf(value);
    if (id === undefined) {
      answers.close();
      return;
    }
    const fail = (code: BrokerErrorCode, reason: string): void => answers.send({ id, error: { code, reason } });
    const request = requestIn(value as object);
    if (typeof request === "string") {
      fail("invalid", request);
      return;
    }
    const owner = "owner" in request ? request.owner : "";
    const own = this.#inHand.filter((each) => each === owner).length;
    if (this.#inHand.length >= MOST_REQUESTS || (owner !== "" && own >= MOST_REQUESTS_OF_OWNER)) {
      fail("busy", "too many requests are in hand; try again when one is answered");
      return;
    }
    this.#inHand.push(owner);
    try {
      const result = await this.#do(request, (percent) => answers.send({ id, progress: { percent } }));
      if (!answers.isOpen && request.verb === "make" && "container" in result && typeof result.container === "string") {
        // Nobody knows of it: the next supervisor may have listed the containers before.
        await this.#broker.discard(result.container);
        return;
      }
      const text = { id, result };
      if (Buffer.byteLength(JSON.stringify(text)) >= LONGEST_ANSWER) fail("invalid", "the answer is too long");
      else answers.send(text);
    } catch (error) {
      if (!(error instanceof ContainerRefusal)) this.#fault(error, request.verb);
      fail(error instanceof ContainerRefusal ? error.code : "engine", messageOf(error));
    } finally {
      this.#inHand.splice(this.#inHand.indexOf(owner), 1);
    }
  }

  #do(request: BrokerRequest, report: (percent: number) => void) {
    switch (request.verb) {
      case "hello":
        return this.#broker.hello(request);
      case "pull":
        return this.#broker.pull(request, report);
      case "make":
        return this.#broker.make(request);
      case "remove":
        return this.#broker.remove(request);
      case "list":
        return this.#broker.list();
      case "images":
        return this.#broker.images();
      case "accept":
        return this.#broker.accept(request);
    }
  }
}
