/** What a start, stop or restart came to, for the one who asked: if nothing, why, and what to do. */
import type { Outcome } from "../contract.ts";
import { advice } from "../core/advice.ts";
import type { Daemon } from "../daemon.ts";
import type { Supervisor } from "../supervisor.ts";
import { concernOf, lastWords, type ReadLog } from "./log-tail.ts";
import { present } from "./presentation.ts";

/** What surrounds an outcome. */
export interface OutcomeSurroundings {
  /** The supervisor's clock, in ms. */
  now(): number;
  readonly readLog: ReadLog;
}

/** Does what is asked, and tells of it when the daemon has settled. */
export const act = async (
  supervisor: Supervisor,
  about: OutcomeSurroundings,
  daemon: Daemon,
  verb: "start" | "stop" | "restart",
): Promise<Outcome> => {
  const { run: since } = daemon.state;
  const asked = Date.now();
  const result = await supervisor[verb](daemon);
  if (result.ok) return { ok: true, reason: "", lastWords: "", advice: "", daemon: present(daemon, about.now()) };
  const { state, terms, key } = daemon;
  const concern = concernOf(daemon, terms?.account.name ?? key.owner.name);
  const ran = state.last !== undefined && state.last.run > since;
  return {
    ok: false,
    reason: result.reason,
    lastWords: ran && state.last?.exit.how !== "launch" ? await lastWords(daemon, about.readLog, asked) : "",
    advice: !ran && state.phase === "running" ? GOES_ON : advice(state, concern, since),
    daemon: present(daemon, about.now()),
  };
};

const GOES_ON = "The run that there is goes on as it was.";
