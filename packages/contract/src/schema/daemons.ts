/** Status of daemons: GET /v1/daemons and GET /v1/daemons/:address. Durations are in seconds, sizes in bytes. */
import type { Static } from "typebox";
import { LONGEST_ADDRESS } from "../bounds.ts";
import { DAEMON_STATES } from "../states.ts";
import { amount, count, flag, list, nullable, oneOf, optional, record, request, text, texts } from "./shapes.ts";

export const State = oneOf(DAEMON_STATES, "State as `dmctl status` shows it.");
export const DesiredState = oneOf(["up", "down"], "What was requested last, whatever the present state is.");

export const InstanceStatus = record("One instance of a daemon.", {
  instance: count("Its number. A rolling restart gives the replacement another number."),
  state: State,
  pid: count("Process id of its main process; 0 when none runs."),
  respawns: count("Automatic restarts since it was last stopped or restarted."),
  cooldown: amount("Seconds until the next automatic start; 0 when none is scheduled."),
  uptime: amount("Seconds since its process started; 0 when none runs."),
  reason: text('Why it is in this state; "" when the state says it all.'),
});
export type InstanceStatus = Static<typeof InstanceStatus>;

export const LimitStatus = record("A limit of a daemon, and what enforces it.", {
  key: text("Key of the conf file."),
  value: text("Value, as a conf file says it."),
  budget: flag("Whether it is part of the owner's budget, which all daemons of the owner share."),
  enforcedBy: oneOf(["cgroup", "engine", "rlimit", "rlimit+watch", "nothing"], "What enforces it."),
  pending: flag("Whether the present run has another limit until its restart."),
  note: text('What the owner should know about it; "" when it is simply enforced.'),
});
export type LimitStatus = Static<typeof LimitStatus>;

export const Usage = record("Resource usage of all processes of a daemon. null: this machine does not report it.", {
  memory: nullable(amount("Bytes.")),
  memoryPeak: nullable(amount("Highest number of bytes of the present run.")),
  memoryPressure: nullable(amount("Share of the last 10 s in which a process waited for memory, in per cent.")),
  processes: nullable(amount("Processes and threads.")),
  cpu: nullable(amount("Seconds of processor time of the present run.")),
  cpuThrottled: nullable(amount("Seconds for which `cpu=` held it back, earlier runs included.")),
  oomKills: nullable(
    amount(
      "Runs that ended out of memory since the supervisor knows the daemon, and killed processes of the present run.",
    ),
  ),
});
export type Usage = Static<typeof Usage>;

export const HostStatus = record("A site of a daemon.", {
  name: text("Host name."),
  state: oneOf(
    ["published", "pending", "refused"],
    "`published`: Nginx serves it. `pending`: Nginx does not serve it yet. `refused`: it will not be published as things are.",
  ),
  reason: text('Why it is not published; "" when it is.'),
  url: text("URL of the site."),
  accessLog: text('Path of its access log; "" when it is refused.'),
  errorLog: text('Path of its error log; "" when it is refused.'),
  logProblem: text('Why its owner cannot read these logs; "" when they can.'),
});
export type HostStatus = Static<typeof HostStatus>;

export const Limits = record("The limits of a daemon.", {
  enforcedBy: text('What enforces them, e.g. `cgroup` or `rlimit+watch (reason)`; "" without limits.'),
  keys: list(LimitStatus, "Each limit, those of the owner's budget included."),
});

export const DaemonStatus = record("A daemon as its owner, its managers and root see it.", {
  id: text("`<owner>/<name>`."),
  owner: text("Account that the daemon belongs to."),
  name: text("Name of its conf file or service directory."),
  state: State,
  desiredState: DesiredState,
  pid: count("Process id of its representative instance; 0 when none runs."),
  respawns: count("Automatic restarts of its instances since it was last stopped or restarted."),
  cooldown: amount("Seconds until the next automatic start; 0 when none is scheduled."),
  uptime: amount("Seconds since the running process started; 0 when none runs."),
  downtime: amount("Seconds since its last process ended, or since this supervisor first saw it; 0 when one runs."),
  autostart: flag("Whether the supervisor starts it without a request."),
  total: amount("Seconds since it was last requested to be up; 0 when it is requested to be down."),
  reason: text('Why it is in this state; "" when the state says it all.'),
  user: text("Run-as account."),
  configFile: text("Path of its conf file, or of the `run` of its service directory."),
  logFile: text('Path of its current log file; "" when the supervisor keeps none.'),
  logDropped: count("Lines of its output that were dropped because its log could not take them."),
  logProblem: text('Why its log takes no lines at present; "" when it does.'),
  socket: text('Path of its published socket; "" when it does not listen.'),
  configChanged: flag("Whether the conf file differs from what the present run was started with: restart to apply."),
  warnings: texts("Warnings, those about the conf file as `path:line: text`."),
  hosts: list(HostStatus, "Its sites, in the order of its conf file."),
  instances: list(InstanceStatus, "Its instances; at least one, also when no process runs."),
  limits: Limits,
  usage: nullable(Usage),
});
export type DaemonStatus = Static<typeof DaemonStatus>;

export const DaemonList = record("The daemons that the caller may control, in the order of their ids.", {
  daemons: list(DaemonStatus, "`usage` is null unless the request has `usage=1`."),
});
export type DaemonList = Static<typeof DaemonList>;

export const Address = request("Parameters of a path.", {
  address: text("`<owner>/<name>`, or `<name>` where it is unique among the daemons that the caller may control.", {
    maxLength: LONGEST_ADDRESS,
  }),
});
export type Address = Static<typeof Address>;

export const DaemonListQuery = request("Query of the list.", {
  usage: optional(oneOf(["1"], "Measure the resource usage of each daemon.")),
});
export type DaemonListQuery = Static<typeof DaemonListQuery>;
