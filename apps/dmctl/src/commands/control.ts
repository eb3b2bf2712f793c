/** Commands that change what daemons do. */
import { MOST_INSTANCES } from "@dmhost/contract";
import { show } from "./answer.ts";
import type { Call, Command } from "./command.ts";
import { settleAll } from "./settlement.ts";

/** Endpoints that take nothing but a daemon, and answer when it has settled. */
type Verb = "start" | "once" | "stop" | "restart" | "pause" | "continue" | "exit";

/** A command that requests something of several daemons and waits for each. */
const settling = (name: Verb, row: Pick<Command, "summary" | "about" | "aliases" | "examples">): Command => ({
  name,
  takes: "many",
  options: ["json"],
  ...row,
  run: (call) => settleAll(call, (address) => call.client.call(name, { params: { address } })),
});

const sendSignal = async (call: Call, signal: string): Promise<number> =>
  show(call, await call.client.call("kill", { params: { address: call.id }, body: { signal } }), "");

/** A command that sends one signal, as svc has a letter for it (docs/reference/daemontools.md#control). */
const sending = (name: string, signal: string): Command => ({
  name,
  takes: "one",
  options: ["json"],
  summary: `send ${signal} to the main process of a daemon`,
  run: (call) => sendSignal(call, signal),
});

export const CONTROL_COMMANDS: readonly Command[] = [
  settling("start", {
    aliases: ["up"],
    summary: "start daemons and wait until they run",
    about: "A start by hand never waits for a cooldown.",
  }),
  settling("stop", {
    aliases: ["down"],
    summary: "stop daemons with all their processes, and wait until they are gone",
    about: "The processes get TERM, and KILL after the daemon's *stop-timeout*.",
  }),
  settling("restart", {
    summary: "replace the processes of daemons",
    about:
      "A daemon that listens is replaced without a gap, unless its file says *rolling=no*: the new process starts first, " +
      "and the old one is terminated when the new one is ready; if that fails, the old one stays. Any other daemon is " +
      "stopped, then started.",
    examples: ["dmctl wordpress restart", "dmctl restart amy/wordpress"],
  }),
  settling("once", {
    summary: "start daemons, and do not start them again when they end",
    about: "A daemon that is starting or running keeps its process. A later **start** or **restart** ends the effect.",
  }),
  settling("pause", {
    summary: "suspend the processes of daemons by SIGSTOP",
    about: "They are suspended until **continue** or **stop**.",
  }),
  settling("continue", { summary: "resume paused daemons" }),
  settling("exit", {
    summary: "stop daemons and forget them until the next rescan",
    about:
      "They leave the list, and their files are ignored until the next **rescan** or SIGHUP, also by a supervisor that replaces one that was killed.",
  }),
  {
    name: "scale",
    takes: "sized",
    options: ["json"],
    summary: "change the number of processes of a daemon",
    about:
      `*NUMBER* is 1 to ${MOST_INSTANCES}, and holds until the daemon is stopped. Remaining processes are not touched; the others ` +
      "finish their requests first.",
    examples: ["dmctl wordpress scale 4"],
    run: (call) =>
      settleAll(call, (address) => call.client.call("scale", { params: { address }, body: { instances: call.size } })),
  },
];

export const SIGNAL_COMMANDS: readonly Command[] = [
  {
    name: "kill",
    takes: "signal",
    options: ["json"],
    summary: "send a signal to the main process of a daemon, KILL by default",
    about:
      "**-9**, **-KILL**, **-SIGKILL**, **KILL** and **SIGKILL** are all the same signal, and the default. See signal(7).",
    examples: ["dmctl wordpress kill -HUP"],
    run: (call) => sendSignal(call, call.signal),
  },
  sending("hup", "HUP"),
  sending("alarm", "ALRM"),
  sending("interrupt", "INT"),
  sending("term", "TERM"),
];
