/** When the shim may launch the next run by itself, so that it need not wait for the supervisor. */
import { spacing } from "./backoff.ts";
import type { Definition } from "./definition.ts";
import { isServing, type State } from "./lifecycle.ts";

/** Shortest life of a run after which another one may follow at once, in ms. */
export const SHORTEST_LIFE = spacing(false);

/**
 * Whether a run that ends by itself is followed by another one at once, whatever its end means: by lifecycle.ts a first failure
 * is not waited for. Not where a part of the launch is new for each run, or another program runs between two.
 */
export const mayFollow = (
  state: State,
  { ondemand, maxRetries, listen, service }: Pick<Definition, "ondemand" | "maxRetries" | "listen" | "service">,
): boolean =>
  isServing(state) &&
  state.want === "up" &&
  !state.once &&
  !state.block &&
  state.failures === 0 &&
  maxRetries !== 0 &&
  !ondemand &&
  listen !== "path" &&
  !service?.finish;
