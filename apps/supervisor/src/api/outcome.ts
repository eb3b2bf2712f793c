/** The outcome of a request: whether the daemon reached the requested state, the reason if not, and whether anything changed. */
import type { Outcome } from "@dmhost/contract";
import { advice } from "../core/advice.ts";
import { runBeforeStart } from "../core/request-status.ts";
import type { ControlledDaemon, Engine } from "./engine.ts";
import { concernOf, lastLogLine } from "./log-tail.ts";
import { present } from "./presentation.ts";
import type { OutcomeSurroundings } from "./surroundings.ts";

/** The requests that are answered with an Outcome. */
export type Verb = "start" | "once" | "stop" | "restart" | "pause" | "continue" | "exit" | "scale";

/** Carries a request out and resolves when the daemon has settled. `size`: instances, with `scale`. */
export const act = async (
  engine: Engine,
  about: OutcomeSurroundings,
  daemon: ControlledDaemon,
  verb: Verb,
  size = 1,
): Promise<Outcome> => {
  const since = verb === "start" || verb === "once" ? runBeforeStart(daemon.state) : daemon.state.run;
  const before = condition(daemon);
  const requested = Date.now();
  const result = await (verb === "scale" ? engine.scale(daemon, size) : engine[verb](daemon));
  // `exit` also forgets the daemon, whatever its state was.
  const changed = condition(daemon) !== before || (verb === "exit" && result.ok);
  if (result.ok) {
    return { ok: true, changed, daemon: present(daemon, about.now()), reason: "", lastLogLine: "", advice: "" };
  }
  const { state, terms, key } = daemon;
  const concern = concernOf(daemon, terms?.account.name ?? key.owner.name);
  const isUntouched = state.phase === "running" && (state.last?.run ?? 0) <= since;
  return {
    ok: false,
    changed,
    daemon: present(daemon, about.now()),
    reason: result.reason,
    lastLogLine: result.ran ? await lastLogLine(daemon, about.readLog, requested) : "",
    advice: daemon.waiting ? WAITING : isUntouched ? UNTOUCHED : advice(state, concern, since),
  };
};

const WAITING = "It starts when it gets the resource it waits for; a stop cancels that.";
/** Advice where a request failed and changed nothing. */
export const UNTOUCHED = "The present run continues as it was.";

/** What a request can change: equal texts before and after mean that it changed nothing. */
const condition = (daemon: ControlledDaemon): string =>
  JSON.stringify([
    daemon.size,
    daemon.terms?.fingerprint,
    daemon.instances().map(({ key, state }) => [key.instance, state.run, state.want, state.once, state.paused]),
  ]);
