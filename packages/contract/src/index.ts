/**
 * What supervisor and dmctl spell alike: the HTTP paths and bodies of the control API, its error codes,
 * and dmctl's exit codes. Imports nothing.
 *
 * A daemon is addressed as `<owner>/<name>`, or by `<name>` alone where only one daemon that the caller may
 * control has it. In a path the address is one segment, so its slash is sent as `%2F`.
 */

/** Version of dmhost: that of package.json, which a shipped program does not carry. */
export const VERSION = "0.1.0";

/** Version of the control API; the first segment of every path. */
export const API_VERSION = "v1";

/** The states that `dmctl status` shows (spec: Lifecycle). */
export const DAEMON_STATES = [
  "stopped",
  "starting",
  "running",
  "stopping",
  "coolingdown",
  "failed",
  "asleep",
  "paused",
  "forbidden",
  "invalid",
] as const;
export type DaemonState = (typeof DAEMON_STATES)[number];

/** One of the processes of a daemon. Every duration is in seconds. */
export interface InstanceStatus {
  /** Its number; a rolling restart gives the new process another. */
  instance: number;
  state: DaemonState;
  pid: number;
  respawns: number;
  cooldown: number;
  uptime: number;
  reason: string;
}

/** A limit of a daemon, and who holds it to that. */
export interface LimitStatus {
  /** Key of the daemon's file. */
  key: string;
  /** As a file says it. */
  value: string;
  /** Whether it is of its owner's budget, which all of their daemons share. */
  budget: boolean;
  by: "cgroup" | "rlimit" | "rlimit+watch" | "nothing";
  /** Whether what runs is held to another until its restart. */
  pending: boolean;
  /** What is to be known of that, in words; else "". */
  note: string;
}

/** What a daemon's processes use of the machine together; null is what this machine does not tell. */
export interface Usage {
  /** Bytes. */
  memory: number | null;
  /** Most bytes of the present run so far. */
  memoryPeak: number | null;
  /** Part of the last 10 s in which one of them waited for memory, in per cent. */
  memoryPressure: number | null;
  /** Processes and threads. */
  processes: number | null;
  /** Seconds of processor time of the present run. */
  cpu: number | null;
  /** Seconds for which `cpu=` held it back, its former runs included. */
  throttled: number | null;
  /** Runs that were ended for want of memory since the supervisor knows the daemon, and processes of the present one. */
  oomKills: number | null;
}

/** One daemon as its owner, its managers and root see it. Every duration is in seconds. */
export interface DaemonStatus {
  /** `<owner>/<name>` */
  id: string;
  owner: string;
  name: string;
  state: DaemonState;
  /** What was asked for last, whatever the state is on its way there. */
  want: "up" | "down";
  /** Process id of the main process of the instance that is best off, 0 when there is none. */
  pid: number;
  /** Times one of its processes was started again by itself since it was last stopped or restarted. */
  respawns: number;
  /** Seconds until the next try, 0 when none is planned. */
  cooldown: number;
  /** Seconds since the running process started, 0 when none runs. */
  uptime: number;
  /** Seconds since its last process ended, or since this supervisor first saw it without one; 0 when one runs. */
  downtime: number;
  /** Whether it is started by itself. */
  autostart: boolean;
  /** Seconds since the last start by hand or by autostart, 0 when not wanted up. */
  total: number;
  /** Why the state is what it is, in words, where there is more to say than its name; else "". */
  reason: string;
  /** Account that the daemon runs as. */
  user: string;
  /** Path of the conf file. */
  configFile: string;
  /** Path of the current log, "" with output=discard. */
  logFile: string;
  /** Lines that it wrote and that were dropped, because its log could not take them. */
  logDropped: number;
  /** Why its log takes no lines at this time; "" when it does. */
  logTrouble: string;
  /** Path of the published FastCGI socket, "" when it does not listen. */
  socket: string;
  /** Whether the conf file says something else by now than what the running process was made of. */
  changed: boolean;
  /** Warnings about the conf file, each `path:line: text`. */
  warnings: string[];
  /** Its processes; one entry at least, also when none runs. */
  instances: InstanceStatus[];
  /** The sites that it answers for, in the order of its file. */
  hosts: HostStatus[];
  limits: {
    /** Who holds them: `cgroup`, or what there is in its place, such as `rlimit+watch (why)`; "" without limits. */
    by: string;
    /** Each limit, those of its owner's budget included. */
    keys: LimitStatus[];
  };
  /** null where none of its processes lives, and in a list for which it was not asked. */
  usage: Usage | null;
}

/** One site of a daemon. */
export interface HostStatus {
  name: string;
  /** `pending`: the web server has not taken it up yet; `refused`: it is not published, and will not be as things are. */
  state: "published" | "pending" | "refused";
  /** Why it is not published; "" where it is. */
  reason: string;
  /** Where it is published. */
  url: string;
  /** Paths of what the web server logs of it, "" where it is refused. */
  accessLog: string;
  errorLog: string;
  /** Why its owner cannot read them; "" where they can. */
  logTrouble: string;
}

/** GET /v1/daemons; with `usage=1` what each uses of the machine, too. */
export interface DaemonList {
  daemons: DaemonStatus[];
}

/** POST /v1/daemons/:address/{start,once,stop,restart,pause,continue,exit}: answered when the daemon has settled. */
export interface Outcome {
  /** Whether it got where it was asked to go. */
  ok: boolean;
  daemon: DaemonStatus;
  /** When not ok: why, e.g. `cannot start "alice/wordpress": entering /srv/x: no such directory`; else "". */
  reason: string;
  /** When not ok: the last line that this attempt wrote to its log, without its stamp; else "". */
  lastWords: string;
  /** When not ok: what to do next, one sentence; else "". */
  advice: string;
}

/** POST /v1/daemons/:address/kill. `signal` is one of SIGNALS. */
export interface KillRequest {
  signal: string;
}

/** POST /v1/daemons/:address/scale: answered as a start is. */
export interface ScaleRequest {
  /** How many instances it is to have, 1 to 64. */
  instances: number;
}

/** POST /v1/rescan: only what the caller may control is named. */
export interface RescanResult {
  /** Ids newly found. */
  found: string[];
  /** Ids started by this rescan. */
  started: string[];
  /** Ids whose file changed; they take it up at their next start. */
  changed: string[];
  /** Ids whose file is gone; they leave the list once stopped. */
  removed: string[];
  /** Files that could not be loaded, each `path:line: reason` or `path: reason`. */
  problems: string[];
  /** What files say that is passed over, such as unknown keys, each `path:line: text`. */
  warnings: string[];
}

/**
 * GET and PUT /v1/daemons/:address/file, for the owner and root: the conf file's text. PUT validates it first, and writes
 * nothing if it is wrong or if the file is not what its fingerprint is of (`conflict`). `path` is ignored by PUT.
 */
export interface ConfFile {
  path: string;
  /** What a new file begins as, where there is none. */
  text: string;
  /** Of the text that is in the file; "" where there is no file. */
  fingerprint: string;
}

/** Longest text of a conf file, in bytes of UTF-8. */
export const LONGEST_CONF_FILE = 65_536;

/** Answer to a PUT of a conf file that was written. */
export interface ConfFileWritten {
  path: string;
  warnings: string[];
  /** Whether there was no file before. */
  made: boolean;
}

/**
 * GET /v1/daemons/:address/log answers with the log's bytes (application/octet-stream).
 * `lines`: how many of the last lines to begin with (default all of the current file);
 * `since`: in ms since 1970: begin with the first file, rotated ones included and decompressed, that may have a line of
 * that time or later; 0 is all that there is. Not together with `lines`;
 * `follow=1`: stay, and send what comes, across rotation, until the client leaves.
 */
export interface LogQuery {
  lines?: number;
  since?: number;
  follow?: boolean;
}

/** What the policy says, and where. */
export interface Ruling {
  allowed: boolean;
  /** In words. */
  because: string;
  /** `path:line` of the policy file that grants it; "" where it is refused, or granted without a line (to root). */
  source: string;
}

/** How the last run that ended did so. */
export interface LastExit {
  /** Number of that run; the first is 1. */
  run: number;
  /**
   * `code` and `signal`: its main process ended so; `memory`: it was ended for want of memory; `files`: it was ended
   * because of what it had put into its socket's directory; `launch`: it was never begun; `unready`: it did not tell in time that
   * it is ready; `unknown`: nobody was there to see.
   */
  how: "code" | "signal" | "memory" | "files" | "launch" | "unready" | "unknown";
  code: number | null;
  /** With SIG. */
  signal: string | null;
  /** `memory`: the kernel had none left for it. `stop-timeout`: it did not end when it was told to. null: not known. */
  cause: "memory" | "stop-timeout" | null;
  /** What was being done when its launch failed, e.g. `entering /srv/x`. */
  stage: string | null;
  /** With `memory`: bytes that it may have, and that it had at most. */
  memory: { limit: number | null; peak: number | null } | null;
  /** All of that in words. */
  text: string;
  /** What is behind it, where there is more to say; else "". */
  meaning: string;
  /** Whether it counts as a failed run. */
  failed: boolean;
}

/** A key of a daemon's file as it is in effect. */
export interface Setting {
  /** `export NAME` for a variable of the environment. */
  key: string;
  value: string;
  /** Whether that is the key's default. */
  isDefault: boolean;
}

/** GET /v1/daemons/:address/explanation: why a daemon is in its state. */
export interface Explanation {
  daemon: DaemonStatus;
  lastExit: LastExit | null;
  /** Failed runs in a row. */
  failures: number;
  /** Failed runs in a row after which it is given up; null is never. */
  maxRetries: number | null;
  /** Seconds until it is tried again by itself; null when it will not be. */
  nextRetry: number | null;
  /** What to do next, one sentence; "" where nothing is amiss. */
  advice: string;
  policy: {
    /** Whether the owner may run it as its account. */
    runAs: Ruling;
    /** Who may control it besides its owner and root. `source`: `path:line` of the policy file. */
    managers: { user: string; source: string }[];
  };
  /** Every key, of the present run where one lives, else of the file; none while the file is wrong. */
  settings: Setting[];
  /** What the policy lets all daemons of its owner use together: lines of [limits]. */
  budget: { key: string; value: string; source: string }[];
  /** The last lines of its log, at most 10, stamps and all; `problem` says why there are none. */
  log: { lines: string[]; problem: string };
  /** As in Health. */
  containment: string;
}

/** GET /v1/policy. A caller may ask about themselves and about whom they manage, root about everybody. */
export interface PolicyQuery {
  /** Account that would act. */
  caller: string;
  /** What it would do: a key of POLICY_VERBS. */
  verb: string;
  /** `<owner>/<name>` of the daemon, which need not exist; for `run-as` the account, for `host` the host name. */
  address: string;
}

/** Answer to a PolicyQuery. */
export interface PolicyAnswer extends PolicyQuery, Ruling {}

/** What can be asked of the policy, and the right that it takes. */
export const POLICY_VERBS = {
  status: "manage",
  explain: "manage",
  start: "manage",
  stop: "manage",
  restart: "manage",
  once: "manage",
  pause: "manage",
  continue: "manage",
  exit: "manage",
  scale: "manage",
  kill: "manage",
  log: "manage",
  tail: "manage",
  pid: "manage",
  logfile: "manage",
  configfile: "manage",
  edit: "write",
  "run-as": "run-as",
  host: "host",
} as const satisfies Record<string, "manage" | "write" | "run-as" | "host">;
export type PolicyVerb = keyof typeof POLICY_VERBS;

/** One right that the policy file gives, its groups resolved into accounts. */
export interface GrantedRight {
  holder: string;
  /**
   * [runs_as]: the account that daemons of `holder` may run as. [manages]: the owner whose daemons it controls. [hosts]: the
   * host name that they may answer for, or `*.` and a name for all below it.
   */
  object: string;
  /** `path:line` of the policy file. */
  source: string;
}

/** Where a daemon's life stands. Times are ISO 8601 in UTC, null where there is none. */
export interface Lifecycle {
  phase: Exclude<DaemonState, "paused">;
  want: "up" | "down";
  /** Number of the latest run; 0 before the first. */
  run: number;
  failures: number;
  respawns: number;
  /** Whether the end of the latest run was asked for. */
  stopRequested: boolean;
  /** When the latest run was spawned, while it lives. */
  startedAt: string | null;
  /** When it was last asked to be up. */
  wantedAt: string | null;
  /** When something happens by itself: a retry, a KILL, or that it counts as running. */
  deadline: string | null;
  /** Why it may not run. */
  block: { kind: "forbidden" | "invalid"; reason: string } | null;
}

/** GET /v1/export: the whole state, for root alone. */
export interface StateExport {
  /** Version of dmhost that wrote it. */
  version: string;
  /** ISO 8601 in UTC. */
  exportedAt: string;
  supervisor: Health;
  policy: {
    /** Path of its file. */
    file: string;
    /** Who may run daemons, root included. */
    owners: string[];
    runsAs: GrantedRight[];
    manages: GrantedRight[];
    hosts: GrantedRight[];
  };
  /** In the order of their ids. */
  daemons: (Explanation & { lifecycle: Lifecycle })[];
}

/** GET /v1/health: anyone who may connect. */
export interface Health {
  version: string;
  pid: number;
  /** Seconds since the supervisor started. */
  uptime: number;
  /** What holds a daemon's processes together: `cgroup`, or `sessions (why)` where one that leaves its session may be missed. */
  containment: string;
}

/** Every error answer, whatever its HTTP status. */
export interface ApiError {
  code: ErrorCode;
  /** What failed, on what, why, and what to do. At most three lines. */
  message: string;
  /** With `ambiguous`: the ids to choose from. With `invalid-file`: the problems, `path:line: text`. */
  details?: string[];
}

/** Why a request was not carried out, and the HTTP status that carries it. */
export const ERROR_STATUS = {
  /** The request itself is wrong: an unknown field, verb, signal or an ill-formed address. */
  usage: 400,
  /** The caller is not in the policy. */
  "not-in-policy": 403,
  /** Unknown and forbidden answer alike. */
  "not-found": 404,
  /** Several daemons have that short name. */
  ambiguous: 409,
  /** The daemon has no process to signal, no log to show. */
  "not-applicable": 409,
  /** The conf file is not what was copied out, so the text that came back was not written over it. */
  conflict: 409,
  /** The text sent for a conf file is wrong. */
  "invalid-file": 422,
  /** Too many connections or requests of this caller. */
  busy: 429,
  /** A fault of ours, or of the machine; the message says which. */
  internal: 500,
  /** The supervisor is stopping. */
  stopping: 503,
} as const;
export type ErrorCode = keyof typeof ERROR_STATUS;

/** dmctl's exit codes. */
export const EXIT = {
  done: 0,
  /** The daemon did not get there. */
  failed: 1,
  usage: 2,
  /** Not permitted or not found. */
  refused: 3,
  /** No supervisor answers. */
  unreachable: 4,
} as const;

/** The signals that `kill` accepts, by name without SIG, and their numbers on Linux. */
export const SIGNALS: ReadonlyMap<string, number> = new Map(
  (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG " +
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
  )
    .split(" ")
    .map((name, index) => [name, index + 1]),
);

/** Where the sockets lie inside the run directory, and the link that each user's home has to its own. */
export const DEFAULT_RUN_DIR = "/run/dmhost";
/** Socket of one policy user, relative to the run directory. */
export const userSocket = (user: string): string => `users/${user}/command.sock`;
/** Socket for everybody else, relative to the run directory: who calls is the kernel's word there too. */
export const PUBLIC_SOCKET = "command.sock";
/** The link in a user's home, relative to it. */
export const HOME_SOCKET = ".daemon-manager/command.sock";
