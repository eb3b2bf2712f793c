/** GET /v1/export: the whole state, for root. */
import type { Static } from "typebox";
import { DAEMON_STATES, type DaemonState } from "../states.ts";
import { DesiredState } from "./daemons.ts";
import { explanation } from "./explanation.ts";
import { Health } from "./health.ts";
import { GrantedRight } from "./policy.ts";
import { count, flag, list, nullable, oneOf, record, text, texts } from "./shapes.ts";

type Phase = Exclude<DaemonState, "paused">;
const PHASES = DAEMON_STATES.filter((state): state is Phase => state !== "paused");

export const Lifecycle = record("State machine of the representative instance. Times are ISO 8601 in UTC.", {
  phase: oneOf(PHASES, "State; a paused run keeps the one that it had."),
  desiredState: DesiredState,
  run: count("Number of the latest run; 0 before the first."),
  failures: count("Failed runs in a row."),
  respawns: count("Automatic restarts since it was last stopped or restarted."),
  stopRequested: flag("Whether the end of the latest run was requested."),
  startedAt: nullable(text("When the latest run was started.")),
  upRequestedAt: nullable(text("When it was last requested to be up.")),
  deadline: nullable(text("When the next timed transition is due: a retry, a KILL, or that it counts as running.")),
  block: nullable(
    record("Why it must not run.", {
      kind: oneOf(["forbidden", "invalid"], "`forbidden` by the policy, or `invalid` because of its conf file."),
      reason: text("Why, in words."),
    }),
  ),
});
export type Lifecycle = Static<typeof Lifecycle>;

export const ExportedDaemon = record("A daemon: its explanation and its state machine.", {
  ...explanation,
  lifecycle: Lifecycle,
});
export type ExportedDaemon = Static<typeof ExportedDaemon>;

export const StateExport = record("The whole state.", {
  version: text("Version of dmhost that wrote it."),
  exportedAt: text("ISO 8601 in UTC."),
  supervisor: Health,
  policy: record("The policy in force.", {
    file: text("Path of the policy file."),
    owners: texts("Accounts that may run daemons, root included."),
    runsAs: list(GrantedRight, "[runs_as]."),
    manages: list(GrantedRight, "[manages]."),
    hosts: list(GrantedRight, "[hosts]."),
    images: list(GrantedRight, "[images]."),
  }),
  daemons: list(ExportedDaemon, "In the order of their ids."),
});
export type StateExport = Static<typeof StateExport>;
