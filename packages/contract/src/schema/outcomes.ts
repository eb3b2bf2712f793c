/** Requests that change a daemon: start, stop, restart, once, pause, continue, exit, scale, kill; and rescan. */
import type { Static } from "typebox";
import { MOST_INSTANCES } from "../bounds.ts";
import { SIGNALS } from "../signals.ts";
import { DaemonStatus } from "./daemons.ts";
import { count, flag, oneOf, record, request, text, texts } from "./shapes.ts";

export const Outcome = record("Sent when the daemon has settled after a request.", {
  ok: flag("Whether it reached the requested state."),
  changed: flag(
    "Whether the request changed anything: a run began or ended, or the desired state, the number of instances, a pause or " +
      "the conf file in use is another. false: everything was as requested before.",
  ),
  daemon: DaemonStatus,
  reason: text(
    'Why it did not reach the requested state, e.g. `cannot start "alice/wordpress": entering /srv/x: no such directory`; "" when ok.',
  ),
  lastLogLine: text('Last line that this attempt wrote to its log, without the label; "" when ok.'),
  advice: text('What to do next, one sentence; "" when ok.'),
});
export type Outcome = Static<typeof Outcome>;

export const ScaleRequest = request("How many instances the daemon is to have.", {
  instances: count("Number of instances.", { minimum: 1, maximum: MOST_INSTANCES }),
});
export type ScaleRequest = Static<typeof ScaleRequest>;

export const KillRequest = request("The signal for the main process of each instance.", {
  signal: oneOf([...SIGNALS.keys()], "Name without SIG."),
});
export type KillRequest = Static<typeof KillRequest>;

export const KillResult = record("The signal was sent.", {});
export type KillResult = Static<typeof KillResult>;

export const RescanResult = record("What a rescan found, of the daemons that the caller may control.", {
  found: texts("Ids that are new."),
  started: texts("Ids that this rescan started."),
  changed: texts("Ids whose file changed; a restart applies it."),
  removed: texts("Ids whose file is gone; they leave the list once stopped."),
  problems: texts("Files that could not be loaded, each `path:line: reason` or `path: reason`."),
  warnings: texts("What was ignored, such as unknown keys, each `path:line: text`."),
});
export type RescanResult = Static<typeof RescanResult>;
