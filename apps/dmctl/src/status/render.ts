/** The contract's values as text: tables and lines for people, JSON for programs. */

import type { DaemonState, DaemonStatus, Health, HostStatus, Outcome, RescanResult } from "@dmhost/contract";
import { roughDuration, SECOND } from "@dmhost/supervisor/units";
import { oneLine } from "../printable.ts";
import { usageLines } from "./usage.ts";

/** SGR parameters of each state: green is healthy, yellow is changing, red has failed. */
const COLOUR: Record<DaemonState, string> = {
  stopped: "2",
  starting: "33",
  running: "32",
  stopping: "33",
  coolingdown: "33",
  failed: "31",
  asleep: "36",
  paused: "33",
  forbidden: "31",
  invalid: "31",
};

/** States whose reason is shown even without --long. */
const FAILING: ReadonlySet<DaemonState> = new Set(["coolingdown", "failed", "forbidden", "invalid"]);

const ID_WIDTH = 30;
const STATE_WIDTH = 13;
const NUMBER_WIDTH = 8;

/** How a table looks. */
export interface Look {
  readonly colour: boolean;
  /** Reasons of failing daemons, and warnings, below the table. */
  readonly reasons: boolean;
  /** Reasons of every daemon that has one. */
  readonly long: boolean;
}

const row = (idWidth: number, id: string, state: string, numbers: readonly (string | number)[]): string =>
  [id.padEnd(idWidth), state, ...numbers.map((value) => String(value).padStart(NUMBER_WIDTH))].join(" ");

const paint = (state: DaemonState, text: string, look: Look): string =>
  look.colour && Object.hasOwn(COLOUR, state) ? `\u001b[${COLOUR[state]}m${text}\u001b[0m` : text;

/** The state, with the mark of a file that has changed since. */
const marked = (daemon: DaemonStatus): string => `${oneLine(daemon.state)}${daemon.configChanged ? "*" : ""}`;

/** `its log: 120 lines dropped; no space left for its log (ENOSPC)`. */
export const lossText = ({ logDropped, logProblem }: DaemonStatus): string => {
  const dropped = logDropped === 0 ? [] : [`${logDropped} ${logDropped === 1 ? "line" : "lines"} dropped`];
  return `its log: ${[...dropped, ...(logProblem === "" ? [] : [logProblem])].join("; ")}`;
};
/** `http://blog.example.org/ published`; the warnings say why it is refused. */
export const hostText = ({ url, state, reason }: HostStatus): string =>
  oneLine(`${url} ${state}${state === "pending" ? `: ${reason}` : ""}`);
/** Both logs of a site; the warnings say why they cannot be read. */
export const siteLogsText = ({ accessLog, errorLog, logProblem }: HostStatus): string =>
  oneLine(`${accessLog}, ${errorLog}${logProblem === "" ? "" : " (unreadable)"}`);

/** A line for each process, where there are several. */
const processes = ({ instances }: DaemonStatus): string[] =>
  instances.length < 2
    ? []
    : instances.map(({ instance, state, pid, respawns, uptime, cooldown, reason }) => {
        const facts = [
          `#${instance} ${oneLine(state)}`,
          pid === 0 ? "" : `pid ${pid}`,
          `${respawns} respawns`,
          cooldown > 0
            ? `next start in ${roughDuration(Math.ceil(cooldown) * SECOND)}`
            : `up ${roughDuration(uptime * SECOND)}`,
          oneLine(reason),
        ];
        return `  ${facts.filter((fact) => fact !== "").join(", ")}`;
      });

const remarks = (daemon: DaemonStatus, look: Look): string[] => {
  const hasReason = daemon.reason !== "" && (look.long || FAILING.has(daemon.state));
  const lines = [
    ...(look.long ? processes(daemon) : []),
    ...(look.long ? usageLines(daemon).map((line) => `  ${oneLine(line)}`) : []),
    ...(hasReason ? [`  ${oneLine(daemon.reason)}`] : []),
    ...(daemon.configChanged ? ["  changed on disk; restart to apply"] : []),
    ...(daemon.logProblem === "" && (daemon.logDropped === 0 || !look.long) ? [] : [`  ${oneLine(lossText(daemon))}`]),
    ...daemon.warnings.map((warning) => `  warning: ${oneLine(warning)}`),
    ...(look.long ? daemon.hosts.filter(({ state }) => state !== "refused").map((host) => `  ${hostText(host)}`) : []),
  ];
  return lines.length === 0 ? [] : [`${oneLine(daemon.id)} (${oneLine(daemon.state)})`, ...lines];
};

/** The table of `dmctl status` (man/dmctl.1.md#status). The id column grows with the longest id. */
export const statusTable = (daemons: readonly DaemonStatus[], look: Look): string => {
  const ids = daemons.map((daemon) => oneLine(daemon.id));
  const width = Math.max(ID_WIDTH, ...ids.map((id) => id.length));
  const columns = ["pid", "respawns", "cooldown", "uptime", "total"];
  const rows = daemons.map((daemon, index) =>
    row(width, ids[index] ?? "", paint(daemon.state, marked(daemon).padEnd(STATE_WIDTH), look), [
      daemon.pid,
      daemon.respawns,
      roughDuration(Math.ceil(daemon.cooldown) * SECOND),
      roughDuration(daemon.uptime * SECOND),
      roughDuration(daemon.total * SECOND),
    ]),
  );
  const below = look.reasons ? daemons.flatMap((daemon) => remarks(daemon, look)) : [];
  const head = row(width, "daemon-id", "state".padEnd(STATE_WIDTH), columns);
  return `${[head, ...rows, ...(below.length === 0 ? [] : ["", ...below])].join("\n")}\n`;
};

/** The outcome of a start, stop or restart on one line: `alice/wordpress running, pid 4711`. */
export const outcomeLine = ({ daemon }: Outcome, look: Look): string => {
  const state = paint(daemon.state, oneLine(daemon.state), look);
  return `${oneLine(daemon.id)} ${state}${daemon.pid === 0 ? "" : `, pid ${daemon.pid}`}\n`;
};

/** What a rescan changed, one id a line; "" if nothing. Without problems and warnings. */
export const rescanLines = (result: RescanResult): string => {
  const lines = (["found", "started", "changed", "removed"] as const).flatMap((what) =>
    result[what].map((id) => `${what.padEnd("removed".length)} ${oneLine(id)}\n`),
  );
  return lines.join("");
};

/** The fields of the supervisor's health, one a line. */
export const healthLines = (health: Health): string =>
  Object.entries({ ...health, uptime: roughDuration(health.uptime * SECOND) })
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key.padEnd("containment".length)} ${oneLine(String(value))}\n`)
    .join("");
