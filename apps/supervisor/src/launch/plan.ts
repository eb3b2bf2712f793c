/**
 * The chain of programs between the supervisor and a tenant's daemon, built as text here and run by os/processes/run.ts:
 *
 *   sh (still root: join the cgroup, set nice) -> setpriv (become the account, for good) -> the stages that the daemon's
 *   file asks for -> sh (enter the directory) -> the daemon's own shell with `start`, or, where that is nothing but `exec`
 *   and plain words, what they name
 *
 * The stages, in this order (launch/stages.ts): sh waits for the word; sh takes the lock; perl reads env-dir and
 * env-file; sh enters the jail; prlimit sets limits; capsh makes the jail its root and gives up the two capabilities for
 * which alone setpriv had left it any. All of them run as the account, so a path of the tenant's is only ever the tenant's
 * own trouble; none of them comes out of the jail, and what does, has no power left.
 *
 * Nothing that a tenant wrote is read before setpriv, and their variables travel under another name until only the
 * daemon's shell is to come: LD_PRELOAD would otherwise be obeyed by root's shell, or by one with a capability. Each stage
 * that fails says so on descriptor 3 and ends the chain; that descriptor closes when the daemon's shell takes over.
 *
 * Having become the account, the chain waits for a line on descriptor 4. Joining a cgroup takes about 10 ms (the kernel
 * waits for a grace period), so a chain is led that far ahead of time and stands by while the run before it lives.
 */
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { selectionScript } from "../core/log-selection.ts";
import { inHome, jailPath } from "../core/paths.ts";
import type { Account } from "../core/policy-rules.ts";
import { prlimitOptions } from "../core/resource-limit.ts";
import {
  AS_ROOT,
  AS_ROOT_FOR_LOGGER,
  AWAIT_WORD,
  becomeDaemon,
  COMPLAINTS,
  ENTER_JAIL,
  LAUNCH_FAILED,
  LOCK_DESCRIPTOR,
  READ_VARIABLES,
  TAKE_LOCK,
  VEIL,
  VEILED,
} from "./stages.ts";

export { readExit } from "./report.ts";

/** A program to be run, complete: nothing of the supervisor's own environment reaches it. */
export interface LaunchPlan {
  readonly file: string;
  readonly argv: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  /**
   * Descriptors at which it is given what its daemon gets at others: a listening socket, the end of a pipe, and what is to
   * be the standard error of a logger.
   */
  readonly slots: { readonly socket: number; readonly ready: number; readonly complaints: number };
}

const PATH = "/usr/local/bin:/usr/bin:/bin";
/**
 * PATH of a service directory's scripts (man/daemon.conf.5.md#service-directories): `envdir`, `multilog` and the
 * others are those of the folder `tools`, before any that the machine has.
 */
export const servicePath = (tools: string): string => `${tools}:${PATH}`;

const sh = (script: string, ...words: string[]): string[] => ["/bin/sh", "-c", script, "dmhost-launch", ...words];

const CHAIN_SOCKET = 6;
const CHAIN_READY = 7;
const SLOTS = { socket: CHAIN_SOCKET, ready: CHAIN_READY, complaints: COMPLAINTS };

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

/** Capabilities that entering a jail takes: chroot(2), and emptying the bounding set afterwards. */
const JAILER = ",+sys_chroot,+setpcap";

/**
 * How setpriv is told to become an account: all of it, with its groups, and no way back.
 * @param keeps what it may go on with: `jailer` to enter a jail, `all` where it is root, to become somebody else
 */
const become = (account: Account, privileged: boolean, keeps: "nothing" | "jailer" | "all" = "nothing"): string[] => {
  if (!privileged) return ["/usr/bin/setpriv", "--no-new-privs", "--"];
  const kept = keeps === "jailer" ? JAILER : "";
  return [
    "/usr/bin/setpriv",
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    "--init-groups",
    "--no-new-privs",
    `--inh-caps=-all${kept}`,
    ...(keeps === "jailer" ? [`--ambient-caps=-all${kept}`] : []),
    ...(keeps === "all" && account.uid === 0 ? [] : [`--bounding-set=-all${kept}`]),
    "--",
  ];
};

/** Root's services are scripts that change the account themselves (man/daemon.conf.5.md#service-directories). */
const keptBy = ({ chroot, service }: Definition): "nothing" | "jailer" | "all" => {
  if (chroot !== undefined) return "jailer";
  return service === undefined ? "nothing" : "all";
};

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
  /** Directory of the programs that scripts of service directories call by their old names. */
  readonly tools: string;
  /** Socket that it is to bind, with listen=path. */
  readonly socketPath: string | undefined;
  /** Socket on which it is to tell that it is ready, with ready=notify. */
  readonly notifyPath: string | undefined;
}

/**
 * The variables that nobody has written. USER is left for `env/USER` of a service directory: its scripts take it as a
 * sign that `envdir` has been there, and svscan's environment has none (seed: the two scripts).
 */
const givenVariables = ({
  definition,
  account,
  tools,
  socketPath,
  notifyPath,
}: Launch): (readonly [string, string])[] => [
  ["HOME", account.home],
  ["LOGNAME", account.name],
  ...(definition.service ? [] : [["USER", account.name] as const]),
  ["PATH", definition.service ? servicePath(tools) : PATH],
  ["SHELL", definition.shell],
  ...(socketPath === undefined ? [] : [["DM_SOCKET", socketPath] as const]),
  ...(notifyPath === undefined ? [] : [["NOTIFY_SOCKET", notifyPath] as const]),
  ...(isHandedOver(definition) ? [["LISTEN_FDS", "1"] as const, ["LISTEN_FDNAMES", definition.listen] as const] : []),
];
/** Why a daemon may not have what its file asks for, whoever it runs as; undefined where nothing is against it. */
export const objection = ({
  definition,
  privileged,
}: Pick<Launch, "definition" | "privileged">): string | undefined => {
  const { chroot, lock, ready, listen } = definition;
  if (chroot !== undefined && !privileged) return "chroot=: this supervisor runs without root's powers";
  if (chroot !== undefined && listen === "path") return "chroot=: the path that listen=path names is not in there";
  if (chroot !== undefined && ready === "notify") return "chroot=: the socket that ready=notify names is not in there";
  if (lock !== undefined && ready === `fd:${LOCK_DESCRIPTOR}`)
    return `lock=: it is kept on descriptor ${LOCK_DESCRIPTOR}, so ready= must name another`;
  return undefined;
};

/** What a daemon binds itself is for the web server's group to connect to, and for nobody else. */
const umaskOf = ({ listen, umask }: Definition): number => (listen === "path" ? (umask & ~0o070) | 0o007 : umask);

/** A start that means the same to whoever takes its words apart at the spaces. */
const PLAIN_START = /^exec +(\w|\.{0,2}\/)[\w./,:@%+-]*( +[\w./,:@%+=-]+)*$/;
/** Variables of which a shell that begins makes something of its own. */
const SHELLS_OWN: ReadonlySet<string> = new Set(["IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD"]);

/** The words of a start that takes no shell of its own, or none. */
const plainWords = ({ start, shell, chroot, environment, envDir, envFile }: Definition): readonly string[] => {
  const known =
    envDir === undefined && envFile === undefined && ![...environment.keys()].some((name) => SHELLS_OWN.has(name));
  const isPlain = known && shell === DEFAULTS.shell && chroot === undefined && PLAIN_START.test(start);
  return isPlain ? start.split(/ +/).slice(1) : [];
};

/** The chain that ends in a daemon (docs/explanation/architecture.md#a-launch). */
export const launchDaemon = (launch: Launch): LaunchPlan => launchAfter(AS_ROOT, launch);

const launchAfter = (first: string, launch: Launch): LaunchPlan => {
  const { definition, owner, account } = launch;
  const { chroot, nice } = definition;
  const variables = new Map([...givenVariables(launch), ...definition.environment]);
  const extra = stages(launch);
  const last = becomeDaemon(redirections(definition), isHandedOver(definition) ? LISTEN_PID : "");
  const script = extra.length === 0 ? AWAIT_WORD + last : last;
  const words = [
    "-c",
    script,
    "dmhost-launch",
    inHome(definition.dir, owner),
    definition.shell,
    definition.start,
    umaskOf(definition).toString(8).padStart(3, "0"),
    ...plainWords(definition),
  ];
  return {
    file: "/bin/sh",
    argv: [
      ...sh(first, launch.cgroup ?? "", nice === undefined ? "" : `${nice}`),
      ...become(account, launch.privileged, keptBy(definition)),
      ...extra,
      // Within a jail there is no other shell than the daemon's own.
      ...(chroot === undefined ? ["/bin/sh"] : [...LEAVE_WORLD, `--shell=${definition.shell}`, "--"]),
      ...words,
    ],
    slots: SLOTS,
    environment: new Map([
      ["PATH", PATH],
      [VEILED, [...variables.keys()].join(" ")],
      ...[...variables].map(([name, value]) => [VEIL + name, value] as const),
    ]),
  };
};

/** The chain that ends in `log/run` of a daemon's service directory, which no jail of the daemon's holds. */
export const launchServiceLogger = (launch: Launch): LaunchPlan => {
  const { service, dir } = launch.definition;
  return launchBeside(launch, { dir: `${service?.directory ?? dir}/log`, chroot: undefined }, AS_ROOT_FOR_LOGGER);
};

/** Exit code of a run, to its `finish`, that a signal ended or whose end nobody saw (s6: servicedir, finish). */
const NO_CODE = 256;

/** The chain that ends in `finish CODE SIGNAL` of a daemon's service directory. */
export const launchFinish = (
  launch: Launch,
  { code, signal }: { readonly code: number | undefined; readonly signal: number },
): LaunchPlan => launchBeside(launch, { start: `exec ./finish ${code ?? NO_CODE} ${signal}` });

/** What is not the daemon but runs beside it: nothing that is the daemon's alone is given to it. */
const launchBeside = (launch: Launch, change: Partial<Definition>, first = AS_ROOT): LaunchPlan =>
  launchAfter(first, {
    ...launch,
    definition: { ...launch.definition, ...change, listen: "none", ready: DEFAULTS.ready, lock: undefined },
    socketPath: undefined,
    notifyPath: undefined,
  });

/** Exit code of a `finish` that says that another run is of no use (s6: servicedir, finish). */
export const PERMANENT_FAILURE = 125;

/** Makes the working directory the root, and gives up all capabilities, in one process. */
const LEAVE_WORLD = ["/usr/sbin/capsh", "--chroot=.", "--drop=all", "--caps="];

/** What a daemon's file adds to the chain between setpriv and the last stage. */
const stages = ({ definition, owner }: Launch): string[] => {
  const { lock, envDir, envFile, chroot, environment } = definition;
  const path = (text: string | undefined): string => (text === undefined ? "" : inHome(text, owner));
  const limits = prlimitOptions(definition);
  const found = [
    ...(lock === undefined ? [] : sh(TAKE_LOCK, path(lock))),
    ...(envDir === undefined && envFile === undefined
      ? []
      : ["/usr/bin/perl", "-e", READ_VARIABLES, path(envDir), path(envFile), [...environment.keys()].join(" ")]),
    ...(chroot === undefined ? [] : sh(ENTER_JAIL, jailPath(chroot, owner), `${owner.uid}`)),
    ...(limits.length === 0 ? [] : ["/usr/bin/prlimit", ...limits, "--"]),
  ];
  return found.length === 0 ? [] : [...sh(`${AWAIT_WORD}exec "$@"`), ...found];
};

/** Whether the daemon looks for its socket at descriptor 3, as systemd hands one over (sd_listen_fds(3)). */
const isHandedOver = ({ listen }: Definition): boolean => listen === "systemd" || listen === "http";

/** How a log is kept. */
export type LogTerms = Pick<Definition, "logSize" | "logFiles" | "logTotal" | "logCompress" | "logSelect">;

/**
 * The program that writes a daemon's log, as its owner (docs/explanation/architecture.md#a-log-line). What it makes
 * only its owner can read, and root's programs that act as the owner.
 */
export const launchLogger = (directory: string, owner: Account, terms: LogTerms, privileged: boolean): LaunchPlan => ({
  file: "/bin/sh",
  argv: [
    ...sh(AS_ROOT_FOR_LOGGER, "", ""),
    ...become(owner, privileged),
    ...sh(
      `umask 077; read -r go <&4 || exit ${LAUNCH_FAILED}; exec "$@" 2>&5 3>&- 4>&- 5>&- ${CHAIN_SOCKET}>&- ${CHAIN_READY}>&-`,
    ),
    "/usr/bin/s6-log",
    "-b",
    "--",
    `n${terms.logFiles}`,
    `s${terms.logSize}`,
    ...(terms.logTotal === undefined ? [] : [`S${terms.logTotal}`]),
    ...selectionScript(terms.logSelect ?? []),
    "t",
    ...(terms.logCompress ? ["!gzip -nq"] : []),
    directory,
  ],
  slots: SLOTS,
  environment: new Map([["PATH", PATH]]),
});
