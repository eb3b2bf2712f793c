/** Commands about conf files and logs. */
import { EXIT } from "@dmhost/contract";
import { rescanLines } from "../status/render.ts";
import { complain, show, warn } from "./answer.ts";
import type { Call, Command } from "./command.ts";

/** @param from `tail` shows the last lines where the command line names no other beginning */
const showLog = async (call: Call, follow: boolean, from?: "tail"): Promise<number> => {
  const { readView, showLog: show } = await import("../log/log-view.ts");
  const view = readView(call, follow, from, Date.now());
  return show(call.client, call.id, view, call.session);
};

/** What a rescan without a result prints on a terminal. */
export const NOTHING_CHANGED = "no daemon changed\n";

export const RESCAN: Command = {
  name: "rescan",
  aliases: ["scan"],
  takes: "none",
  options: ["json"],
  summary: "load new and changed files, and start new daemons",
  about:
    "Prints what was found, started, changed and removed, and warnings about files. When root calls it, or in " +
    "single-user mode the user, the policy is read again first.",
  exits: { 1: "a file cannot be loaded" },
  async run(call) {
    const result = await call.client.call("rescan");
    await complain(call, "invalid-file", result.problems);
    await warn(call, result.warnings);
    const nothing = call.session.terminal && result.problems.length === 0 ? NOTHING_CHANGED : "";
    return show(call, result, rescanLines(result) || nothing, result.problems.length > 0 ? EXIT.failed : EXIT.done);
  },
};

export const FILE_COMMANDS: readonly Command[] = [
  {
    name: "log",
    takes: "one",
    options: ["lines", "all", "since", "grep", "follow", "raw", "utc", "tai64n"],
    summary: "show the log of a daemon, through a pager on a terminal",
    about:
      "Shows the current file, with **--all** or **--since** older ones too; compressed files are decompressed. A log that " +
      "ends early is an error.",
    examples: ["dmctl wordpress log --lines 100 --utc", "dmctl wordpress log --since 1h30m --grep 'error|warn'"],
    run: (call) => showLog(call, call.given.has("follow")),
  },
  {
    name: "tail",
    takes: "one",
    options: ["lines", "all", "since", "grep", "raw", "utc", "tai64n"],
    always: { follow: "follows the log" },
    summary: "show the last 10 lines of a log, and new lines until Ctrl-C",
    about:
      "The log is followed across rotation. If files were removed by rotation before they were read, a line that begins with " +
      "`dmhost:` gives their number.",
    examples: ["dmctl wordpress tail"],
    run: (call) => showLog(call, true, "tail"),
  },
  {
    name: "edit",
    takes: "one",
    options: [],
    summary: "edit the conf file of a daemon, or create one",
    about:
      "Edits a copy in $VISUAL, $EDITOR or vi, and writes it back when it is valid. An invalid copy is shown with its " +
      "errors and can be edited again; text that was not written is kept, and its path is printed. If the file was " +
      "changed meanwhile, nothing is written, and on a terminal its new text can be edited, with your own below it as " +
      "comments. A missing file is created in the caller's directory; for root, in *OWNER*'s. " +
      "Its text begins as an example; if the text stays unchanged or empty, no file is created. Only the owner and " +
      "root may read or write a daemon's file.",
    run: async (call) => (await import("../edit/edit.ts")).editFile(call.client, call.id, call.session),
  },
];

export const TAI64NLOCAL: Command = {
  name: "tai64nlocal",
  takes: "none",
  options: ["utc", "multilog"],
  summary: "copy standard input, with local time in place of TAI64N stamps",
  about: "Only a stamp at the beginning of a line is converted.",
  examples: ["dmctl tai64nlocal < ~/.daemon-manager/logs/wordpress/current | less"],
  async run({ session, given }) {
    const { showWallClock } = await import("../log/log-text.ts");
    const stamper = given.has("multilog") ? "multilog" : "s6-log";
    return showWallClock(session, given.has("utc") ? "utc" : "local", stamper);
  },
};
