/** The contract's values as text: tables and lines for people, JSON for programs. */
import type { DaemonState, DaemonStatus, Health, HostStatus, Outcome, RescanResult } from "@dmhost/contract";
import { roughDuration, SECOND } from "@dmhost/supervisor/units";
import type { Failure } from "./failure.ts";
import { oneLine, printable } from "./printable.ts";
import { usageLines } from "./usage.ts";

/** SGR parameters for each state: green is well, yellow is on its way, red needs somebody. */
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

/** States whose reason is worth a line without being asked for. */
const NOT_WELL: ReadonlySet<DaemonState> = new Set(["coolingdown", "failed", "forbidden", "invalid"]);

const ID_WIDTH = 30;
const STATE_WIDTH = 13;
const NUMBER_WIDTH = 8;

/** How a table is to look. */
export interface Look {
  readonly colour: boolean;
  /** Reasons and warnings below the table, of what is not well. */
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
/** `http://blog.example.org/ published`; why it is refused stands among the warnings. */
export const hostText = ({ url, state, reason }: HostStatus): string =>
  oneLine(`${url} ${state}${state === "pending" ? `: ${reason}` : ""}`);
/** Both logs of a site; why they cannot be read stands among the warnings. */
export const siteLogsText = ({ accessLog, errorLog, logProblem }: HostStatus): string =>
  oneLine(`${accessLog}, ${errorLog}${logProblem === "" ? "" : " (unreadable)"}`);

/** A line for each process, where there are several or the one is not the whole truth. */
const processes = ({ instances }: DaemonStatus): string[] =>
  instances.length < 2
    ? []
    : instances.map(({ instance, state, pid, respawns, uptime, cooldown, reason }) => {
        const facts = [
          `#${instance} ${oneLine(state)}`,
          pid === 0 ? "" : `pid ${pid}`,
          `${respawns} respawns`,
          cooldown > 0
            ? `next try in ${roughDuration(Math.ceil(cooldown) * SECOND)}`
            : `up ${roughDuration(uptime * SECOND)}`,
          oneLine(reason),
        ];
        return `  ${facts.filter((fact) => fact !== "").join(", ")}`;
      });

const remarks = (daemon: DaemonStatus, look: Look): string[] => {
  const tellsWhy = daemon.reason !== "" && (look.long || NOT_WELL.has(daemon.state));
  const lines = [
    ...(look.long ? processes(daemon) : []),
    ...(look.long ? usageLines(daemon).map((line) => `  ${oneLine(line)}`) : []),
    ...(tellsWhy ? [`  ${oneLine(daemon.reason)}`] : []),
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

/** What a start, stop or restart came to, on one line: `alice/wordpress running, pid 4711`. */
export const outcomeLine = ({ daemon }: Outcome, look: Look): string => {
  const state = paint(daemon.state, oneLine(daemon.state), look);
  return `${oneLine(daemon.id)} ${state}${daemon.pid === 0 ? "" : `, pid ${daemon.pid}`}\n`;
};

/** What a rescan did, one id a line; "" when nothing. Problems and warnings are not in it. */
export const rescanLines = (result: RescanResult): string => {
  const lines = (["found", "started", "changed", "removed"] as const).flatMap((what) =>
    result[what].map((id) => `${what.padEnd("removed".length)} ${oneLine(id)}\n`),
  );
  return lines.join("");
};

/** The fields of the supervisor's health, one a line. */
export const healthLines = (health: Health): string =>
  Object.entries({ ...health, uptime: roughDuration(health.uptime * SECOND) })
    .map(([key, value]) => `${key.padEnd("containment".length)} ${oneLine(String(value))}\n`)
    .join("");

/** What is wrong with a request, for the errors' stream: its message, and each detail indented below it. */
export const failureText = (failure: Failure): string =>
  `dmctl: ${printable(failure.message)}\n${failure.details.map((detail) => `  ${oneLine(detail)}\n`).join("")}`;
