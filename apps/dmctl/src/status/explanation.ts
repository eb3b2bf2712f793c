/** `dmctl explain` in words. */
import type { Explanation, PolicyAnswer, Ruling } from "@dmhost/contract";
import { tai64nLocal, type WallClock } from "@dmhost/supervisor/tai64n";
import { roughDuration, SECOND } from "@dmhost/supervisor/units";
import { oneLine } from "../printable.ts";
import { hostText, lossText, siteLogsText } from "./render.ts";
import { limitWords, usageWords } from "./usage.ts";

const cited = (source: string): string => (source === "" ? "" : ` (${source})`);

const ruled = ({ reason, source }: Ruling): string => `${reason}${cited(source)}`;

const aligned = (rows: readonly (readonly [string, string])[], indent = ""): string => {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${indent}${oneLine(left.padEnd(width))}  ${oneLine(right)}`.trimEnd()).join("\n");
};

const exitText = ({ lastExit }: Explanation): string => {
  if (lastExit === null) return "none yet";
  const behind = lastExit.meaning === "" ? "" : `; ${lastExit.meaning}`;
  return `run ${lastExit.run}: ${lastExit.text}${behind}${lastExit.failed ? "; counts as failed" : ""}`;
};

const retryText = ({ nextRetry, daemon }: Explanation): string => {
  if (nextRetry !== null)
    return `in ${roughDuration(Math.ceil(nextRetry) * SECOND)}; \`dmctl ${daemon.id} start\` does not wait`;
  return daemon.state === "failed" ? `none until \`dmctl ${daemon.id} start\`` : "none";
};

const failuresText = ({ failures, maxRetries }: Explanation): string =>
  `${failures} in a row; ${maxRetries === null ? "retried without limit" : `at most ${maxRetries} are retried`}`;

const facts = (explanation: Explanation): [string, string][] => {
  const { daemon, policy, containment, budget } = explanation;
  const process = daemon.pid === 0 ? "no process" : `pid ${daemon.pid}, up ${roughDuration(daemon.uptime * SECOND)}`;
  const managers = policy.managers.map(({ user, source }) => `${user}${cited(source)}`);
  return [
    ["state", `${daemon.state}, desired ${daemon.desiredState}, ${process}, ${daemon.respawns} respawns`],
    ["last exit", exitText(explanation)],
    ["failed runs", failuresText(explanation)],
    ["next retry", retryText(explanation)],
    ["runs as", `${daemon.user}: ${ruled(policy.runAs)}`],
    ["managed by", [daemon.owner, "root", ...managers].join(", ")],
    ["file", `${daemon.configFile}${daemon.configChanged ? ", changed on disk; restart to apply" : ""}`],
    ...daemon.warnings.map((warning): [string, string] => ["warning", warning]),
    ...(daemon.logDropped === 0 && daemon.logProblem === ""
      ? []
      : [[daemon.logDropped === 0 ? "log problem" : "dropped", lossText(daemon)] satisfies [string, string]]),
    ["socket", daemon.socket || "none"],
    ...daemon.hosts.flatMap((host): [string, string][] => [
      ["site", hostText(host)],
      ...(host.accessLog === "" ? [] : [["", siteLogsText(host)] satisfies [string, string]]),
    ]),
    ["containment", containment],
    ...(daemon.usage ? [["usage", usageWords(daemon.usage)] as [string, string]] : []),
    ["limits", daemon.limits.enforcedBy || "none"],
    ...daemon.limits.keys.map((limit): [string, string] => ["", limitWords(limit)]),
    ...budget.map(({ key, value, source }): [string, string] => ["budget", `${key}=${value}${cited(source)}`]),
  ];
};

/** The whole explanation of a daemon; log lines in local time. Whatever a tenant wrote is escaped. */
export const explanationText = (explanation: Explanation, clock: WallClock = "local"): string => {
  const { daemon, advice, settings, log } = explanation;
  const why = daemon.reason === "" ? "" : `: ${daemon.reason}`;
  const keys = settings.map(({ key, value, isDefault }): [string, string] => [
    key,
    `${value}${isDefault ? "  (default)" : ""}`,
  ]);
  const lines = log.lines.map((line) => `  ${oneLine(tai64nLocal(line, clock))}`);
  const logHead = daemon.logFile === "" ? "log" : `log: ${daemon.logFile}`;
  return [
    oneLine(`${daemon.id} is ${daemon.state}${why}`),
    ...(advice === "" ? [] : [oneLine(advice)]),
    "",
    aligned(facts(explanation)),
    "",
    "settings",
    ...(keys.length === 0 ? ["  none: its file has an error"] : [aligned(keys, "  ")]),
    "",
    oneLine(logHead),
    ...(lines.length === 0 ? [`  ${oneLine(log.problem)}`] : lines),
    "",
  ].join("\n");
};

/** `yes: [manages] lets david manage the daemons of amy (/etc/daemon-manager.conf:12)`. */
export const policyLine = (answer: PolicyAnswer): string =>
  `${answer.allowed ? "yes" : "no"}: ${oneLine(ruled(answer))}\n`;
