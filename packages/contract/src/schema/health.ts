/** GET /v1/health: the supervisor itself. */
import type { Static } from "typebox";
import { amount, count, record, text } from "./shapes.ts";

export const Health = record("The supervisor.", {
  version: text("Version of dmhost."),
  pid: count("Process id of the supervisor."),
  uptime: amount("Seconds since the supervisor started."),
  containment: text(
    "What holds the processes of a daemon together: `cgroup`, or `sessions (reason)` where a process that leaves its session can be missed.",
  ),
  shim: text("`current`, or `outdated (remedy)` where another build of the shim is installed than the one that runs."),
  problem: text("Why hosts have been pending for a minute or longer; empty where none has."),
});
export type Health = Static<typeof Health>;
