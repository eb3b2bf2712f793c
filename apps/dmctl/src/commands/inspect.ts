/** Commands that show daemons and the supervisor. */
import { type DaemonStatus, EXIT, POLICY_VERBS, type PolicyVerb } from "@dmhost/contract";
import { suggestion } from "@dmhost/supervisor/suggestion";
import { allDaemons } from "../all-daemons.ts";
import { misuse } from "../failure.ts";
import { json, oneLine } from "../printable.ts";
import { write } from "../session.ts";
import { healthLines, statusTable } from "../status/render.ts";
import { svstatLine } from "../status/svstat-line.ts";
import { complain, show, warn } from "./answer.ts";
import type { Call, Command } from "./command.ts";

const oneDaemon = ({ client, id }: Call): Promise<DaemonStatus> =>
  client.call("getDaemon", { params: { address: id } });

/** A command that prints one field of one daemon; nothing, and exit code 1, where the daemon has none. */
const printing = (name: string, field: "pid" | "logFile" | "configFile", summary: string, none: string): Command => ({
  name,
  takes: "one",
  options: ["json"],
  summary,
  async run(call) {
    const daemon = await oneDaemon(call);
    const value = String(daemon[field] || "");
    if (value === "") await complain(call, "not-applicable", [`"${daemon.id}" ${none}`]);
    const text = value === "" ? "" : `${call.session.terminal ? oneLine(value) : value}\n`;
    return show(call, { id: daemon.id, [field]: daemon[field] }, text, value === "" ? EXIT.failed : EXIT.done);
  },
});

const isPolicyVerb = (word: string): word is PolicyVerb => Object.hasOwn(POLICY_VERBS, word);

/** Answers `explain --policy CALLER VERB ADDRESS`: exit code 0 is yes, 1 is no. */
const askPolicy = async (call: Call): Promise<number> => {
  const [caller = "", verb = "", address = ""] = call.ids;
  if (!isPolicyVerb(verb)) {
    throw misuse(`the policy has no verb "${verb}": ${suggestion(verb, Object.keys(POLICY_VERBS))}`);
  }
  const answer = await call.client.call("askPolicy", { query: { caller, verb, address } });
  const { policyLine } = await import("../status/explanation.ts");
  return show(call, answer, policyLine(answer), answer.allowed ? EXIT.done : EXIT.failed);
};

export const STATUS_COMMANDS: readonly Command[] = [
  {
    name: "status",
    takes: "optional",
    options: ["long", "json"],
    summary: "show state, process and times of all daemons, or of one",
    about: "All daemons are those that the caller may control. See STATUS.",
    examples: ["dmctl", "dmctl status --json"],
    async run(call) {
      const measured = call.given.has("long") || call.given.has("json");
      const daemons = call.id === "" ? await allDaemons(call.client, measured) : [await oneDaemon(call)];
      if (!call.look.reasons)
        await warn(
          call,
          daemons.flatMap(({ warnings }) => warnings),
        );
      return show(call, { daemons }, statusTable(daemons, call.look));
    },
  },
  {
    name: "list",
    takes: "none",
    options: ["json"],
    summary: "print the ids of the daemons that you may control",
    about: "One id a line.",
    async run(call) {
      const ids = (await allDaemons(call.client)).map((daemon) => daemon.id);
      return show(call, ids, ids.map((id) => `${oneLine(id)}\n`).join(""));
    },
  },
  {
    name: "top",
    takes: "none",
    options: ["json"],
    summary: "show the resource usage of daemons, the busiest first",
    about:
      "The columns are memory, its limit, the highest use so far, processes and threads, processor time, and how long " +
      "*cpu* has throttled the daemon. On a terminal the table is updated, with the share of a processor that each " +
      "daemon uses, until Ctrl-C; into a pipe it is printed once. `-` means not measured here.",
    async run(call) {
      if (call.given.has("json")) return show(call, { daemons: await allDaemons(call.client, true) }, "");
      await (await import("../status/top.ts")).showTop(call.client, call.session);
      return EXIT.done;
    },
  },
];

export const DETAIL_COMMANDS: readonly Command[] = [
  printing("pid", "pid", "print the process id of a daemon", "has no process"),
  printing(
    "logfile",
    "logFile",
    "print the path of the log of a daemon",
    "has no log of the supervisor: output=log writes one, and a log/run writes its own",
  ),
  printing("configfile", "configFile", "print the path of the conf file of a daemon", "has no file"),
  {
    name: "explain",
    takes: "question",
    options: ["policy", "utc", "json"],
    summary: "explain why a daemon is in its state, and what to do",
    about:
      "Shows its last exit, failed runs, the next start, what the policy grants it, its settings and the end of its log. " +
      "With **--policy** it says whether the policy lets the account *CALLER* do *VERB* to a daemon, which need not " +
      "exist, and by which line. *VERB* is a command that names one daemon, or `run-as`, which takes an account " +
      "in place of the daemon, or `host`, which takes a host name, or `image`, which takes an image.",
    examples: [
      "dmctl explain --policy david restart amy/wordpress",
      "dmctl explain --policy david host blog.example.org",
    ],
    exits: { 0: "with --policy, yes", 1: "with --policy, no" },
    async run(call) {
      if (call.given.has("policy")) return askPolicy(call);
      const explanation = await call.client.call("explain", { params: { address: call.id } });
      const { explanationText } = await import("../status/explanation.ts");
      return show(call, explanation, explanationText(explanation, call.given.has("utc") ? "utc" : "local"));
    },
  },
  {
    name: "svstat",
    takes: "one",
    options: [],
    summary: "print the state of a daemon on one line, as svstat does",
    about:
      "The line has the daemon's file, or its service directory, *up* with process id or *down*, since how many seconds, " +
      "and what differs from the normal or the desired state. Without a process the seconds count from the end of the " +
      "last one, or from the start of the supervisor. See svstat(8).",
    async run(call) {
      const line = svstatLine(await oneDaemon(call), call.session.env["HOME"]);
      await write(call.session.output, `${call.session.terminal ? oneLine(line) : line}\n`);
      return EXIT.done;
    },
  },
];

export const SUPERVISOR_COMMANDS: readonly Command[] = [
  {
    name: "export",
    takes: "none",
    options: ["json"],
    summary: "print the whole state as JSON, for root",
    about: "The state is policy, supervisor and all daemons.",
    async run(call) {
      await write(call.session.output, json(await call.client.call("exportState")));
      return EXIT.done;
    },
  },
  {
    name: "health",
    takes: "none",
    options: ["json"],
    summary: "show version, process, uptime, containment and shim of the supervisor",
    about: "The problem, where there is one, is why hosts have been pending for a minute or longer.",
    exits: { 1: "hosts have been pending for a minute or longer", 4: "no supervisor answers" },
    async run(call) {
      const health = await call.client.call("getHealth");
      // A supervisor of release 0.1.0 reports none.
      return show(call, health, healthLines(health), health.problem ? EXIT.failed : EXIT.done);
    },
  },
];
