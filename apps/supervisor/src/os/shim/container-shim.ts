/** The client of a container's shim: requests are forwarded to it, and their replies come later, as events do. */
import type { ShimLink } from "./link.ts";
import { describedIn, type ShimRun } from "./objects.ts";
import { planFields, type ShimPlan } from "./plan.ts";
import { hello, requireSuccess } from "./shim.ts";
import {
  decodeFields,
  encodeFrame,
  KIND,
  MAGIC,
  numberOf,
  type Sent,
  TAG,
  textOf,
  VERSIONS,
  type WireField,
} from "./wire.ts";

type Kind = Parameters<typeof encodeFrame>[0];

/** What the shim of a container reports. */
interface ContainerEvents {
  /** It has joined. @param token by which it proves the container that it is in */
  joined(token: string): void;
  /** A run has changed: its state now. */
  run(run: ShimRun): void;
  /** It has ended, and all processes of the container with it. */
  gone(): void;
}

interface Request {
  readonly text: string;
  readonly failed: (error: unknown) => void;
}

const IGNORED = (): void => undefined;

export class ContainerShim {
  readonly #link: ShimLink;
  readonly #name: string;
  readonly #events: ContainerEvents;
  /** Requests whose replies have not come, in their order. */
  #sent: Request[] = [];
  /** Whether the replies that come are those to `#sent`; before, they are those to an earlier supervisor. */
  #isGreeted = false;

  /** @param name of a container that the outer shim has admitted */
  constructor(link: ShimLink, name: string, events: ContainerEvents) {
    this.#link = link;
    this.#name = name;
    this.#events = events;
    link.followContainer(name, { forwarded: (frame) => this.#take(frame), gone: () => events.gone() });
  }

  /** Begins the conversation; the present state of each run follows as an event. */
  greet(): void {
    this.#isGreeted = false;
    this.#sent = [];
    this.#send("hello", KIND.HELLO, hello(true, VERSIONS), IGNORED);
  }

  /** Launches a run. @param failed called with an errno error where it cannot be launched: no event follows */
  launch(name: string, plan: ShimPlan, failed: (error: unknown) => void): void {
    this.#send(`launch ${name}`, KIND.LAUNCH, planFields(name, plan), failed);
  }
  /** Sends a signal to the main process of a run, or to all processes of the container. Those that have ended get none. */
  signal(name: string, signal: number, all: boolean): void {
    const fields: Sent[] = [
      [TAG.NAME, name],
      [TAG.SIGNAL, signal],
      [TAG.ALL, all],
    ];
    this.#send(`signal ${name}`, KIND.SIGNAL, fields, IGNORED);
  }
  /**
   * See Shim.permitNext. Where the run has ended, its state says whether another one has followed.
   * @param failed called with an errno error: EBUSY where it has ended, ENOENT where there is none
   */
  permitNext(name: string, after: number, failed: (error: unknown) => void = IGNORED): void {
    const fields: Sent[] = [
      [TAG.NAME, name],
      [TAG.AGAIN, after],
    ];
    this.#send(`again ${name}`, KIND.AGAIN, fields, failed);
  }
  /** Acknowledges the exit of a run. */
  forget(name: string): void {
    this.#send(`forget ${name}`, KIND.FORGET, [[TAG.NAME, name]], IGNORED);
  }
  /** Ends it, and the container with it. */
  close(): void {
    this.#link.closeContainer(this.#name);
  }

  #send(text: string, kind: Kind, fields: readonly Sent[], failed: (error: unknown) => void): void {
    const request: Request = { text, failed };
    this.#sent.push(request);
    this.#link.requests.forward(this.#name, encodeFrame(kind, fields), (error) => {
      this.#sent = this.#sent.filter((each) => each !== request);
      failed(error);
    });
  }

  #take(frame: Buffer): void {
    const kind = frame.readUInt8();
    const fields = decodeFields(frame.subarray(1));
    if (kind === KIND.JOIN && textOf(fields, TAG.MAGIC) === MAGIC) this.#events.joined(textOf(fields, TAG.BYTES) ?? "");
    if (kind === KIND.REPLY) this.#answer(fields);
    const object = kind === KIND.EVENT_RUN && this.#isGreeted ? describedIn(fields) : undefined;
    if (object?.kind === "run") this.#events.run(object);
  }

  #answer(fields: readonly WireField[]): void {
    // Only the reply to HELLO names a version.
    this.#isGreeted ||= numberOf(fields, TAG.VERSION) !== undefined;
    const request = this.#isGreeted ? this.#sent.shift() : undefined;
    try {
      if (request) requireSuccess(request.text, fields);
    } catch (error) {
      request?.failed(error);
    }
  }
}
