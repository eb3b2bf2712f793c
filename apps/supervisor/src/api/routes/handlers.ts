/** The shape of a handler of each endpoint, out of the contract. */

import type { Readable } from "node:stream";
import type { Answer, Body, ENDPOINTS, EndpointName, Query } from "@dmhost/contract/schemas";
import type { AccessSubject } from "../access.ts";
import type { Caller } from "../connection.ts";
import type { Engine } from "../engine.ts";

/** A request that was validated and let in. */
export interface EndpointCall<N extends EndpointName> {
  readonly engine: Engine;
  readonly caller: Caller;
  /** The target of its address: a daemon, a conf file, or none. */
  readonly subject: AccessSubject<(typeof ENDPOINTS)[N]["access"]>;
  readonly query: Query<N>;
  readonly body: Body<N>;
}

type Answered<N extends EndpointName> = Answer<N> extends undefined ? Readable : Answer<N>;

/** One handler for each of these endpoints. Refusals are thrown. */
export type Handlers<N extends EndpointName> = {
  readonly [E in N]: (call: EndpointCall<E>) => Answered<E> | Promise<Answered<E>>;
};
