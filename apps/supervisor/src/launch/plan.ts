/**
 * Launch plans: the chain of programs between the supervisor and a tenant's daemon, built as text here and run by
 * os/processes:
 *
 *   sh (still root: join the cgroup, set nice) -> setpriv (become the account, for good) -> the stages that the daemon's
 *   file asks for -> sh (enter the directory) -> the daemon's own shell with `start`, or the program itself where `start` is
 *   `exec` and plain words
 *
 * The stages, in this order (launch/stages.ts): sh waits for the go signal; sh takes the lock; perl reads env-dir and
 * env-file; sh enters the jail; prlimit sets limits; capsh makes the jail its root and drops the two capabilities that
 * setpriv kept only for this. All of them run as the account, so a tenant's path can harm only the tenant. No program of
 * the jail runs before capsh, and after it none has capabilities.
 *
 * Nothing that a tenant wrote is read before setpriv, and a tenant's variables have a prefix until only the daemon's
 * shell is to come: otherwise root's shell, or one with a capability, would obey LD_PRELOAD. A stage that fails reports
 * that on descriptor 3 and ends the chain; that descriptor closes when the daemon's shell takes over.
 *
 * Once it runs as the account, the chain waits for a line on descriptor 4: the go signal. Joining a cgroup takes about 10
 * ms (the kernel waits for a grace period), so a standby launch gets that far while the run before it is alive.
 */
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { selectionScript } from "../core/log-selection.ts";
import { inHome, jailPath } from "../core/paths.ts";
import type { Account } from "../core/policy-rules.ts";
import { prlimitOptions } from "../core/rlimits.ts";
import { become, keptBy } from "./account.ts";
import { plainWords } from "./plain-start.ts";
import {
  AS_ROOT,
  AS_ROOT_FOR_LOGGER,
  AWAIT_GO,
  becomeDaemon,
  ENTER_JAIL,
  LAUNCH_FAILED,
  LOCK_DESCRIPTOR,
  LOGGER_STDERR,
  PREFIX,
  PREFIXED,
  READ_VARIABLES,
  TAKE_LOCK,
} from "./stages.ts";
import { defaultVariables, PATH, passesSocket, type VariableSources } from "./variables.ts";

export { readExit } from "./report.ts";

/** A program to launch, complete: it gets nothing of the supervisor's own environment. */
export interface LaunchPlan {
  readonly file: string;
  readonly argv: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  /**
   * Descriptors of the chain: its report, the gate, a listening socket, a pipe for readiness, and the standard error of a
   * logger. The daemon gets the last three at other descriptors.
   */
  readonly slots: {
    readonly report: number;
    readonly gate: number;
    readonly socket: number;
    readonly ready: number;
    readonly stderr: number;
  };
}

const SLOTS = { report: 3, gate: 4, socket: 6, ready: 7, stderr: LOGGER_STDERR } as const;

const sh = (script: string, ...words: string[]): string[] => ["/bin/sh", "-c", script, "dmhost-launch", ...words];

/** Moves socket and readiness pipe to the descriptors at which the daemon expects them. */
const redirections = ({ listen, ready }: Definition): string => {
  const target = ready.startsWith("fd:") ? Number(ready.slice(3)) : undefined;
  return [
    passesSocket({ listen }) ? `3<&${SLOTS.socket}` : "",
    `${SLOTS.socket}>&-`,
    target === undefined || target === SLOTS.ready ? "" : `${target}>&${SLOTS.ready}`,
    target === SLOTS.ready ? "" : `${SLOTS.ready}>&-`,
  ].join(" ");
};

/** sd_listen_fds(3) checks it. The daemon keeps the pid of the chain. */
const LISTEN_PID = "export LISTEN_PID=$$";

/** The input of a launch. */
export interface Launch extends VariableSources {
  readonly owner: Account;
  /** cgroup directory to join, where there is one. */
  readonly cgroup: string | undefined;
  /** Whether the supervisor is root; otherwise owner, run-as account and supervisor are one account. */
  readonly privileged: boolean;
}

/** Why a daemon may not use a key of its file, whatever its account; undefined where it may. */
export const objection = ({
  definition,
  privileged,
}: Pick<Launch, "definition" | "privileged">): string | undefined => {
  const { chroot, lock, ready, listen } = definition;
  if (chroot !== undefined && !privileged) return "chroot=: this supervisor is not root";
  if (chroot !== undefined && listen === "path") return "chroot=: the path of listen=path is outside the jail";
  if (chroot !== undefined && ready === "notify") return "chroot=: the socket of ready=notify is outside the jail";
  if (lock !== undefined && ready === `fd:${LOCK_DESCRIPTOR}`)
    return `lock=: descriptor ${LOCK_DESCRIPTOR} holds the lock, so ready= must name another`;
  return undefined;
};

/** The web server's group, and no other account, may connect to a socket that the daemon binds itself. */
const umaskOf = ({ listen, umask }: Definition): number => (listen === "path" ? (umask & ~0o070) | 0o007 : umask);

/** The chain that ends in a daemon (docs/explanation/architecture.md#a-launch). */
export const launchDaemon = (launch: Launch): LaunchPlan => launchAfter(AS_ROOT, launch);

const launchAfter = (first: string, launch: Launch): LaunchPlan => {
  const { definition, owner, account } = launch;
  const { chroot, nice } = definition;
  const variables = new Map([...defaultVariables(launch), ...definition.environment]);
  const extra = stages(launch);
  const last = becomeDaemon(redirections(definition), passesSocket(definition) ? LISTEN_PID : "");
  const script = extra.length === 0 ? AWAIT_GO + last : last;
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
      // In a jail there is no other shell than the daemon's.
      ...(chroot === undefined ? ["/bin/sh"] : [...CHANGE_ROOT, `--shell=${definition.shell}`, "--"]),
      ...words,
    ],
    slots: SLOTS,
    environment: new Map([
      ["PATH", PATH],
      [PREFIXED, [...variables.keys()].join(" ")],
      ...[...variables].map(([name, value]) => [PREFIX + name, value] as const),
    ]),
  };
};

/** The chain that ends in `log/run` of a daemon's service directory, outside of any jail. */
export const launchServiceLogger = (launch: Launch): LaunchPlan => {
  const { service, dir } = launch.definition;
  return launchBeside(launch, { dir: `${service?.directory ?? dir}/log`, chroot: undefined }, AS_ROOT_FOR_LOGGER);
};

/** The exit code that `finish` gets for a run that a signal ended, or whose exit is unknown (s6: servicedir, finish). */
const NO_CODE = 256;

/** The chain that ends in `finish CODE SIGNAL` of a daemon's service directory. */
export const launchFinish = (
  launch: Launch,
  { code, signal }: { readonly code: number | undefined; readonly signal: number },
): LaunchPlan => launchBeside(launch, { start: `exec ./finish ${code ?? NO_CODE} ${signal}` });

/** A program that runs beside the daemon: it gets neither the daemon's socket, lock nor readiness pipe. */
const launchBeside = (launch: Launch, change: Partial<Definition>, first = AS_ROOT): LaunchPlan =>
  launchAfter(first, {
    ...launch,
    definition: { ...launch.definition, ...change, listen: "none", ready: DEFAULTS.ready, lock: undefined },
    socketPath: undefined,
    notifyPath: undefined,
  });

/** Exit code by which `finish` forbids another run (s6: servicedir, finish). */
export const PERMANENT_FAILURE = 125;

/** Makes the working directory the root and drops all capabilities, in one process. */
const CHANGE_ROOT = ["/usr/sbin/capsh", "--chroot=.", "--drop=all", "--caps="];

/** The stages between setpriv and the last one. */
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
  return found.length === 0 ? [] : [...sh(`${AWAIT_GO}exec "$@"`), ...found];
};

/** How a log is written. */
export type LogTerms = Pick<Definition, "logSize" | "logFiles" | "logTotal" | "logCompress" | "logSelect">;

/**
 * The chain that ends in the program that writes a daemon's log, as its owner
 * (docs/explanation/architecture.md#a-log-line). Only the owner can read its files, and programs of root that act as the owner.
 */
export const launchLogger = (directory: string, owner: Account, terms: LogTerms, privileged: boolean): LaunchPlan => ({
  file: "/bin/sh",
  argv: [
    ...sh(AS_ROOT_FOR_LOGGER, "", ""),
    ...become(owner, privileged),
    ...sh(
      `umask 077; read -r go <&4 || exit ${LAUNCH_FAILED}; exec "$@" 2>&5 3>&- 4>&- 5>&- ${SLOTS.socket}>&- ${SLOTS.ready}>&-`,
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
