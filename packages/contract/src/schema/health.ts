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
});
export type Health = Static<typeof Health>;
