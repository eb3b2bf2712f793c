/** All that dmctl can do, one row a command. The first row is what `dmctl` alone does. */

import { apiPath, type Client } from "@dmhost/client";
import {
  type DaemonList,
  type DaemonStatus,
  EXIT,
  type Explanation,
  type Health,
  type KillRequest,
  POLICY_VERBS,
  type PolicyAnswer,
  type RescanResult,
  type ScaleRequest,
  type StateExport,
  VERSION,
} from "@dmhost/contract";
import { misuse } from "../failure.ts";
import { json, oneLine } from "../printable.ts";
import { type Session, write } from "../session.ts";
import { healthLines, type Look, rescanLines, statusTable } from "../status/render.ts";
import { svstatLine } from "../status/svstat-line.ts";
import { helpFor, helpText } from "./help.ts";
import type { Invocation, Shape } from "./invocation.ts";
import { settleAll } from "./settlement.ts";

/** One command line on its way. */
export interface Call extends Invocation<Command> {
  /** The first id, "" when there is none. */
  readonly id: string;
  /** Looks for the supervisor when first used; throws a Failure when there is none. */
  readonly client: Client;
  readonly session: Session;
  readonly look: Look;
}

/** A row of the table. */
export interface Command extends Shape {
  /** For `dmctl help`. */
  readonly does: string;
  /** Resolves with the exit code or rejects with a Failure. */
  run(call: Call): Promise<number>;
}

/** Every daemon that the caller may control. */
const allDaemons = async ({ client }: Call, measured = false): Promise<readonly DaemonStatus[]> =>
  (await client.ask<DaemonList>({ path: `${apiPath("daemons")}${measured ? "?usage=1" : ""}` })).daemons;

const oneDaemon = ({ client, id }: Call): Promise<DaemonStatus> =>
  client.ask<DaemonStatus>({ path: apiPath("daemons", id) });

const show = async (call: Call, value: unknown, text: string, code: number = EXIT.done): Promise<number> => {
  await write(call.session.output, call.given.has("json") ? json(value) : text);
  return code;
};

const complain = (call: Call, lines: readonly string[]): Promise<void> =>
  write(call.session.errors, lines.map((line) => `dmctl: ${oneLine(line)}\n`).join(""));

const warn = ({ session }: Call, warnings: readonly string[]): Promise<void> =>
  write(session.errors, warnings.map((warning) => `warning: ${oneLine(warning)}\n`).join(""));

/** Prints one field of one daemon and nothing else; nothing at all, and exit code 1, where it has none. */
const showField = async (call: Call, field: "pid" | "logFile" | "configFile", none: string): Promise<number> => {
  const daemon = await oneDaemon(call);
  const value = String(daemon[field] || "");
  if (value === "") await complain(call, [`"${daemon.id}" ${none}`]);
  const text = value === "" ? "" : `${call.session.terminal ? oneLine(value) : value}\n`;
  return show(call, { id: daemon.id, [field]: daemon[field] }, text, value === "" ? EXIT.failed : EXIT.done);
};

const showLog = async (call: Call, lines: number | undefined, follow: boolean): Promise<number> => {
  const { readView, showLog: show } = await import("../log/log-view.ts");
  return show(call.client, call.id, readView({ ...call, lines, follow }, Date.now()), call.session);
};

/** Answers `explain --policy CALLER VERB ADDRESS`: exit code 0 is yes, 1 is no. */
const askPolicy = async (call: Call): Promise<number> => {
  const [caller = "", verb = "", address = ""] = call.ids;
  if (!Object.hasOwn(POLICY_VERBS, verb)) {
    throw misuse(`the policy knows no "${verb}"; it knows ${Object.keys(POLICY_VERBS).join(", ")}`);
  }
  const path = `${apiPath("policy")}?${new URLSearchParams({ caller, verb, address })}`;
  const answer = await call.client.ask<PolicyAnswer>({ path });
  const { policyLine } = await import("../status/explanation.ts");
  return show(call, answer, policyLine(answer), answer.allowed ? EXIT.done : EXIT.failed);
};

const sendSignal = async ({ client, id }: Call, signal: string): Promise<number> => {
  const body: KillRequest = { signal };
  await client.ask<unknown>({ method: "POST", path: apiPath("daemons", id, "kill"), body });
  return EXIT.done;
};

/** The command that sends this one signal, as svc has a letter for it (spec/daemontools.md: Control). */
const sending = (verb: string, signal: string): Command => ({
  verb,
  ids: "one",
  options: [],
  does: `send it ${signal}`,
  run: (call) => sendSignal(call, signal),
});

export const COMMANDS: readonly Command[] = [
  {
    verb: "status",
    ids: "optional",
    options: ["long", "json"],
    does: "state, process, respawns and times of every daemon that you may control, or of one",
    async run(call) {
      const measured = call.given.has("long") || call.given.has("json");
      const daemons = call.id === "" ? await allDaemons(call, measured) : [await oneDaemon(call)];
      if (!call.look.reasons && !call.given.has("json"))
        await warn(
          call,
          daemons.flatMap(({ warnings }) => warnings),
        );
      return show(call, { daemons }, statusTable(daemons, call.look));
    },
  },
  {
    verb: "list",
    ids: "none",
    options: ["json"],
    does: "the ids of the daemons that you may control",
    async run(call) {
      const ids = (await allDaemons(call)).map((daemon) => daemon.id);
      return show(call, ids, ids.map((id) => `${oneLine(id)}\n`).join(""));
    },
  },
  {
    verb: "top",
    ids: "none",
    options: ["json"],
    does: "what daemons use of the machine, the busiest first; on a terminal again and again, until Ctrl-C",
    async run(call) {
      if (call.given.has("json")) return show(call, { daemons: await allDaemons(call, true) }, "");
      await (await import("../status/top.ts")).showTop(call.client, call.session);
      return EXIT.done;
    },
  },
  {
    verb: "rescan",
    aliases: ["scan"],
    ids: "none",
    options: ["json"],
    does: "load new and changed files, and start what starts by itself",
    async run(call) {
      const result = await call.client.ask<RescanResult>({ method: "POST", path: apiPath("rescan"), settles: true });
      await complain(call, result.problems);
      if (!call.given.has("json")) await warn(call, result.warnings);
      const nothing = call.session.terminal && result.problems.length === 0 ? "nothing is new\n" : "";
      return show(call, result, rescanLines(result) || nothing, result.problems.length > 0 ? EXIT.failed : EXIT.done);
    },
  },
  {
    verb: "start",
    aliases: ["up"],
    ids: "many",
    options: ["json"],
    does: "start it, and wait until it runs",
    run: (call) => settleAll(call, "start"),
  },
  {
    verb: "stop",
    aliases: ["down"],
    ids: "many",
    options: ["json"],
    does: "stop it with all its processes, and wait until they are gone",
    run: (call) => settleAll(call, "stop"),
  },
  {
    verb: "restart",
    ids: "many",
    options: ["json"],
    does: "replace its processes: one by one where it listens, else stop it and start it",
    run: (call) => settleAll(call, "restart"),
  },
  {
    verb: "once",
    ids: "many",
    options: ["json"],
    does: "start it, and do not start it again when it ends",
    run: (call) => settleAll(call, "once"),
  },
  {
    verb: "pause",
    ids: "many",
    options: ["json"],
    does: "hold its processes by SIGSTOP",
    run: (call) => settleAll(call, "pause"),
  },
  {
    verb: "continue",
    ids: "many",
    options: ["json"],
    does: "let paused processes go on",
    run: (call) => settleAll(call, "continue"),
  },
  {
    verb: "exit",
    ids: "many",
    options: ["json"],
    does: "stop it and forget it until the next rescan",
    run: (call) => settleAll(call, "exit"),
  },
  {
    verb: "scale",
    ids: "sized",
    options: ["json"],
    does: "change the number of its processes, without touching those that stay",
    run: (call) => settleAll(call, "scale", { instances: call.size } satisfies ScaleRequest),
  },
  {
    verb: "log",
    ids: "one",
    options: ["lines", "all", "since", "grep", "follow", "raw", "utc", "tai64n"],
    does: "its log, through $PAGER on a terminal",
    run: (call) => showLog(call, call.lines, call.given.has("follow")),
  },
  {
    verb: "tail",
    ids: "one",
    options: ["lines", "all", "since", "grep", "raw", "utc", "tai64n"],
    does: "the last 10 lines of its log and what comes, until Ctrl-C",
    run: (call) => {
      const elsewhere = call.given.has("all") || call.given.has("since");
      return showLog(call, call.lines ?? (elsewhere ? undefined : 10), true);
    },
  },
  {
    verb: "edit",
    ids: "one",
    options: [],
    does: "its file, or a new one, in $VISUAL, $EDITOR or vi; a wrong one is not written",
    run: async (call) => (await import("../edit/edit.ts")).editFile(call.client, call.id, call.session),
  },
  {
    verb: "kill",
    ids: "one",
    signal: "KILL",
    options: [],
    does: "send it a signal: -9, -KILL, -SIGKILL, KILL or SIGKILL; without one KILL",
    run: (call) => sendSignal(call, call.signal),
  },
  sending("hup", "HUP"),
  sending("alarm", "ALRM"),
  sending("interrupt", "INT"),
  sending("term", "TERM"),
  {
    verb: "pid",
    ids: "one",
    options: ["json"],
    does: "its process id",
    run: (call) => showField(call, "pid", "has no process"),
  },
  {
    verb: "logfile",
    ids: "one",
    options: ["json"],
    does: "the path of its log",
    run: (call) =>
      showField(call, "logFile", "has no log of the supervisor's: output=log keeps one, a log/run keeps its own"),
  },
  {
    verb: "configfile",
    ids: "one",
    options: ["json"],
    does: "the path of its file",
    run: (call) => showField(call, "configFile", "has no file"),
  },
  {
    verb: "explain",
    ids: "question",
    options: ["policy", "utc", "json"],
    does: "why it is in its state, and what to do; with --policy, who may do what",
    async run(call) {
      if (call.given.has("policy")) return askPolicy(call);
      const explanation = await call.client.ask<Explanation>({ path: apiPath("daemons", call.id, "explanation") });
      const { explanationText } = await import("../status/explanation.ts");
      return show(call, explanation, explanationText(explanation, call.given.has("utc") ? "utc" : "local"));
    },
  },
  {
    verb: "svstat",
    ids: "one",
    options: [],
    does: "one line, as svstat prints it",
    async run(call) {
      const line = svstatLine(await oneDaemon(call), call.session.env["HOME"]);
      await write(call.session.output, `${call.session.terminal ? oneLine(line) : line}\n`);
      return EXIT.done;
    },
  },
  {
    verb: "tai64nlocal",
    ids: "none",
    options: ["utc"],
    does: "standard input with its TAI64N labels as local time",
    async run({ session, given }) {
      return (await import("../log/log-text.ts")).showWallClock(session, given.has("utc") ? "utc" : "local");
    },
  },
  {
    verb: "export",
    ids: "none",
    options: ["json"],
    does: "the whole state as JSON, for root",
    async run(call) {
      await write(call.session.output, json(await call.client.ask<StateExport>({ path: apiPath("export") })));
      return EXIT.done;
    },
  },
  {
    verb: "health",
    ids: "none",
    options: ["json"],
    does: "version, age and containment of the supervisor; exit code 4 when none answers",
    async run(call) {
      const health = await call.client.ask<Health>({ path: apiPath("health") });
      return show(call, health, healthLines(health));
    },
  },
  {
    verb: "help",
    ids: "command",
    options: [],
    does: "this, or more about one command",
    run: (call) => show(call, {}, call.id === "" ? helpText(COMMANDS) : helpFor(COMMANDS, call.id)),
  },
  {
    verb: "version",
    ids: "none",
    options: [],
    does: "dmctl's version",
    run: (call) => show(call, {}, `dmctl ${VERSION}\n`),
  },
];
