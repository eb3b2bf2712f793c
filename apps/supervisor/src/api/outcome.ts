/** What a start, stop or restart came to, for the one who asked: if nothing, why, and what to do. */
import type { Outcome } from "@dmhost/contract";
import { advice } from "../core/advice.ts";
import type { Daemon } from "../engine/daemon.ts";
import type { Supervisor } from "../engine/supervisor.ts";
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
  verb: "start" | "once" | "stop" | "restart" | "pause" | "continue" | "exit" | "scale",
  size = 1,
): Promise<Outcome> => {
  const { run: since } = daemon.state;
  const asked = Date.now();
  const result = await (verb === "scale" ? supervisor.scale(daemon, size) : supervisor[verb](daemon));
  if (result.ok) return { ok: true, reason: "", lastWords: "", advice: "", daemon: present(daemon, about.now()) };
  const { state, terms, key } = daemon;
  const concern = concernOf(daemon, terms?.account.name ?? key.owner.name);
  const goesOn = state.phase === "running" && (state.last?.run ?? 0) <= since;
  return {
    ok: false,
    reason: result.reason,
    lastWords: result.ran ? await lastWords(daemon, about.readLog, asked) : "",
    advice: daemon.waiting ? WAITS : goesOn ? GOES_ON : advice(state, concern, since),
    daemon: present(daemon, about.now()),
  };
};

const WAITS = "It goes on by itself when it has what it waits for; a stop gives that up.";
const GOES_ON = "The run that there is goes on as it was.";
