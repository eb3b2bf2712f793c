/**
 * The chain of programs between the supervisor and a tenant's daemon, built as text here and run by os/process.ts:
 *
 *   sh (still root: join the cgroup) -> setpriv (become the account, for good) -> sh (enter the directory)
 *   -> the daemon's own shell with `start`
 *
 * Nothing that a tenant wrote is read before setpriv: their variables travel under another name (LD_PRELOAD would
 * otherwise be obeyed by root's shell) and get their own again after it. Each stage that fails says so on descriptor 3
 * and ends the chain; that descriptor closes unwritten when the daemon's shell takes over.
 *
 * Having become the account, the chain waits for a line on descriptor 4. Joining a cgroup takes about 10 ms (the kernel
 * waits for a grace period), so a chain is led that far ahead of time and stands by while the run before it lives.
 */
import type { Definition } from "./definition.ts";
import type { Exit } from "./lifecycle.ts";
import type { Account } from "./policy-rules.ts";

/** A program to be run, complete: nothing of the supervisor's own environment reaches it. */
export interface LaunchPlan {
  readonly file: string;
  readonly argv: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  /** Descriptors at which it is given what its daemon gets at others: a listening socket, the end of a pipe. */
  readonly slots: { readonly socket: number; readonly ready: number };
}

/** Exit code of a chain that failed before the daemon's shell took over. */
const LAUNCH_FAILED = 111;

const PATH = "/usr/local/bin:/usr/bin:/bin";
/** What a tenant's variable is called until setpriv has been passed. */
const VEIL = "DMHOST_VAR_";

/** $1 cgroup directory or empty; the rest is the next program. Descriptor 5 keeps the log while 2 reports on 3. */
const AS_ROOT = `exec 5>&2 2>&3
if [ -n "$1" ] && ! echo 0 >"$1/cgroup.procs"; then echo 'joining cgroup' >&3; exit ${LAUNCH_FAILED}; fi
shift
exec "$@"`;

/** $1 directory, $2 shell, $3 start, $4 the commands that give the variables their names again. */
const asAccount = (redirections: string): string => `umask 022
read -r go <&4 || exit ${LAUNCH_FAILED}
fail() { echo "$1: $2" >&3; echo "$3" >&3; exit ${LAUNCH_FAILED}; }
[ -e "$1" ] || fail "$1" 'no such directory, or no permission to reach it' "entering $1"
[ -d "$1" ] || fail "$1" 'not a directory' "entering $1"
cd -- "$1" || fail "$1" 'permission denied' "entering $1"
[ -x "$2" ] || fail "$2" 'no such program, or no permission to run it' "running $2"
unset PWD OLDPWD
eval "$4"
exec "$2" -c "$3" 2>&5 3>&- 4>&- 5>&- ${redirections}`;

const CHAIN_SOCKET = 6;
const CHAIN_READY = 7;
const SLOTS = { socket: CHAIN_SOCKET, ready: CHAIN_READY };

/** Moves both to where the daemon looks for them. */
const redirections = ({ listen, ready }: Definition): string => {
  const told = ready.startsWith("fd:") ? Number(ready.slice(3)) : undefined;
  return [
    listen === "systemd" || listen === "http" ? `3<&${CHAIN_SOCKET}` : "",
    `${CHAIN_SOCKET}>&-`,
    told === undefined || told === CHAIN_READY ? "" : `${told}>&${CHAIN_READY}`,
    told === CHAIN_READY ? "" : `${CHAIN_READY}>&-`,
  ].join(" ");
};

/** What a process that looks for sockets as systemd hands them over is told; the pid stays that of the chain. */
const LISTEN_PID = "export LISTEN_PID=$$";

/** How setpriv is told to become an account: all of it, with its groups, and no way back. */
const become = (account: Account, privileged: boolean): string[] =>
  privileged
    ? [
        "/usr/bin/setpriv",
        `--reuid=${account.uid}`,
        `--regid=${account.gid}`,
        "--init-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--",
      ]
    : ["/usr/bin/setpriv", "--no-new-privs", "--"];

/** What a daemon needs to be launched. */
export interface Launch {
  readonly definition: Definition;
  readonly owner: Account;
  /** The account that it runs as. */
  readonly account: Account;
  /** cgroup directory to join, where there is one. */
  readonly cgroup: string | undefined;
  /** Whether the supervisor is root; otherwise owner, account and supervisor are one. */
  readonly privileged: boolean;
  /** Socket that it is to bind, with listen=path. */
  readonly socketPath: string | undefined;
  /** Socket on which it is to tell that it is ready, with ready=notify. */
  readonly notifyPath: string | undefined;
}

/** The chain that ends in a daemon (DESIGN decision 7). */
export const launchDaemon = (launch: Launch): LaunchPlan => {
  const { definition, owner, account } = launch;
  const variables = new Map([
    ["HOME", account.home],
    ["LOGNAME", account.name],
    ["USER", account.name],
    ["PATH", PATH],
    ["SHELL", definition.shell],
    ...(launch.socketPath === undefined ? [] : [["DM_SOCKET", launch.socketPath] as const]),
    ...(launch.notifyPath === undefined ? [] : [["NOTIFY_SOCKET", launch.notifyPath] as const]),
    ...(isHandedOver(definition) ? [["LISTEN_FDS", "1"] as const, ["LISTEN_FDNAMES", definition.listen] as const] : []),
    ...definition.environment,
  ]);
  return {
    file: "/bin/sh",
    argv: [
      "/bin/sh",
      "-c",
      AS_ROOT,
      "dmhost-launch",
      launch.cgroup ?? "",
      ...become(account, launch.privileged),
      "/bin/sh",
      "-c",
      asAccount(redirections(definition)),
      "dmhost-launch",
      inHome(definition.dir, owner),
      definition.shell,
      definition.start,
      `unset go; ${[...variables.keys()].map((name) => `export ${name}="$${VEIL}${name}"; unset ${VEIL}${name}`).join("; ")}${isHandedOver(definition) ? `; ${LISTEN_PID}` : ""}`,
    ],
    slots: SLOTS,
    environment: new Map([["PATH", PATH], ...[...variables].map(([name, value]) => [VEIL + name, value] as const)]),
  };
};

/** Whether the daemon looks for its socket at descriptor 3, as systemd hands one over (sd_listen_fds(3)). */
const isHandedOver = ({ listen }: Definition): boolean => listen === "systemd" || listen === "http";

/** Path with a leading `~/` resolved to the owner's home. */
export const inHome = (path: string, owner: Account): string =>
  path === "~" ? owner.home : path.startsWith("~/") ? `${owner.home}/${path.slice(2)}` : path;

/** How a log is kept. */
export interface LogBounds {
  /** Bytes after which `current` is rotated. */
  readonly size: number;
  /** Rotated files that are kept. */
  readonly files: number;
}

/** The program that writes a daemon's log, as its owner (DESIGN decision 8). */
export const launchLogger = (
  directory: string,
  owner: Account,
  bounds: LogBounds,
  privileged: boolean,
): LaunchPlan => ({
  file: "/bin/sh",
  argv: [
    "/bin/sh",
    "-c",
    AS_ROOT,
    "dmhost-launch",
    "",
    ...become(owner, privileged),
    "/bin/sh",
    "-c",
    `umask 027; read -r go <&4 || exit ${LAUNCH_FAILED}; exec "$@" 2>&5 3>&- 4>&- 5>&- ${CHAIN_SOCKET}>&- ${CHAIN_READY}>&-`,
    "dmhost-launch",
    "/usr/bin/s6-log",
    "-b",
    `n${bounds.files}`,
    `s${bounds.size}`,
    "t",
    directory,
  ],
  slots: SLOTS,
  environment: new Map([["PATH", PATH]]),
});

/**
 * What a failed chain wrote on descriptor 3, as the stage and its reason. The last line is the stage where a stage named
 * itself; otherwise it is setpriv speaking.
 */
const readFailure = (text: string): { stage: string; reason: string } => {
  const lines = text.split("\n").filter((line) => line !== "");
  const last = lines.at(-1) ?? "";
  const stageNamed = /^(joining cgroup$|entering |running )/.test(last);
  const said = (stageNamed ? lines.at(-2) : last) ?? "";
  const reason = said.slice(said.lastIndexOf(": ") + 1).trim();
  return { stage: stageNamed ? last : "becoming the account", reason: reason.toLowerCase() || "unknown error" };
};

/** How a chain's end is told from its daemon's. `raw` is what os/process.ts saw; undefined: nobody was there to see. */
export const readExit = (
  raw:
    | {
        readonly code: number | undefined;
        readonly signal: string | undefined;
        readonly report: string;
        readonly starved: boolean;
      }
    | undefined,
): Exit => {
  if (raw === undefined) return { how: "unknown" };
  const starved = raw.starved ? ({ cause: "memory" } as const) : {};
  if (raw.signal !== undefined) {
    return { how: "signal", signal: raw.signal, ...(raw.signal === "SIGKILL" && starved) };
  }
  if (raw.report !== "") return { how: "launch", ...readFailure(raw.report) };
  return { how: "code", code: raw.code ?? 0, ...(raw.code !== 0 && starved) };
};
