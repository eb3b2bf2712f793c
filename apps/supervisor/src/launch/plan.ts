/**
 * Launch plans: all that a new process is and gets, as plain data. The shim launches them (docs/decisions/0018): it puts the
 * process into its cgroup, gives it the account for good, takes the lock, has the variables read, enters the jail, sets
 * limits and executes the program. Nothing that a tenant wrote is touched before the process has the account.
 */
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { selectionScript } from "../core/log-selection.ts";
import { inHome, jailPath } from "../core/paths.ts";
import type { Account } from "../core/policy-rules.ts";
import { type Rlimit, rlimitsOf } from "../core/rlimits.ts";
import { type VariablesReader, variablesReader } from "./env-reader.ts";
import { plainWords } from "./plain-start.ts";
import { defaultVariables, PATH, passesSocket, type VariableSources } from "./variables.ts";

/** A program to launch, complete: it gets nothing of the supervisor's own environment. */
export interface LaunchPlan {
  /** Program and arguments. Where there are none, or they cannot be executed, the shell executes `start`. */
  readonly words: readonly string[];
  readonly shell?: string | undefined;
  readonly start?: string | undefined;
  readonly environment: ReadonlyMap<string, string>;
  readonly directory: string;
  readonly umask: number;
  /** undefined: as the supervisor. */
  readonly nice: number | undefined;
  /** Directory of its cgroup. */
  readonly cgroup: string | undefined;
  /** undefined: the account of the supervisor. */
  readonly account: Account | undefined;
  /** Whether root keeps its capabilities. */
  readonly keepsCapabilities: boolean;
  /** File that it keeps locked, and its descriptor. */
  readonly lock: { readonly path: string; readonly descriptor: number } | undefined;
  /** What reads its variables at the launch, in place of `environment`. */
  readonly reader: VariablesReader | undefined;
  /** Directory that becomes its root; with those above it, it belongs to root or the owner. */
  readonly jail: { readonly path: string; readonly owner: number } | undefined;
  readonly limits: readonly Rlimit[];
  /** Descriptor of the listening socket. */
  readonly socketDescriptor: number | undefined;
  /** Whether LISTEN_PID is set to its pid. */
  readonly setsListenPid: boolean;
  /** Descriptor on which it writes a line when it is ready. */
  readonly readyDescriptor: number | undefined;
  /** Path of the socket on which it reports readiness (sd_notify(3)). */
  readonly notifyPath: string | undefined;
  /**
   * The container that it is launched in, by everything that this is made of: launches with equal texts may share one.
   * undefined: none.
   */
  readonly container?: string | undefined;
  /** Shortest life in ms after which the shim launches the next run by this plan itself; undefined where it does not. */
  readonly again?: number | undefined;
}

/** Descriptor that holds a daemon's lock. */
const LOCK_DESCRIPTOR = 9;

/** The input of a launch. */
export interface Launch extends VariableSources {
  readonly owner: Account;
  /** cgroup directory to join, where there is one. */
  readonly cgroup: string | undefined;
  /** Whether the supervisor is root; otherwise owner, run-as account and supervisor are one account. */
  readonly privileged: boolean;
  /** LaunchPlan.again */
  readonly again?: number | undefined;
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

const socketDescriptorOf = (definition: Definition): number | undefined => {
  if (definition.listen === "fastcgi") return 0;
  return passesSocket(definition) ? 3 : undefined;
};

/** The launch of a daemon (docs/explanation/architecture.md#a-launch). */
export const launchDaemon = (launch: Launch): LaunchPlan => {
  const { definition, owner, account, privileged, cgroup, notifyPath } = launch;
  const { shell, start, nice, lock, chroot, ready, service } = definition;
  const environment = new Map([...defaultVariables(launch), ...definition.environment]);
  return {
    words: plainWords(definition),
    shell,
    start,
    environment,
    directory: inHome(definition.dir, owner),
    umask: umaskOf(definition),
    nice,
    cgroup,
    account: privileged ? account : undefined,
    // Service directories of root are scripts that change the account themselves (man/daemon.conf.5.md#service-directories).
    keepsCapabilities: service !== undefined && chroot === undefined && account.uid === 0,
    lock: lock === undefined ? undefined : { path: inHome(lock, owner), descriptor: LOCK_DESCRIPTOR },
    reader: readerOf(launch, environment),
    jail: chroot === undefined ? undefined : { path: jailPath(chroot, owner), owner: owner.uid },
    limits: rlimitsOf(definition),
    socketDescriptor: socketDescriptorOf(definition),
    setsListenPid: passesSocket(definition),
    readyDescriptor: ready.startsWith("fd:") ? Number(ready.slice(3)) : undefined,
    notifyPath,
    again: launch.again,
  };
};

const readerOf = (
  { definition, owner }: Launch,
  variables: ReadonlyMap<string, string>,
): VariablesReader | undefined => {
  const { envDir, envFile, environment } = definition;
  if (envDir === undefined && envFile === undefined) return undefined;
  const path = (text: string | undefined) => (text === undefined ? undefined : inHome(text, owner));
  return variablesReader({ envDir: path(envDir), envFile: path(envFile) }, variables, [...environment.keys()]);
};

/** The launch of `log/run` of a daemon's service directory, outside of any jail. */
export const launchServiceLogger = (launch: Launch): LaunchPlan => {
  const { service, dir } = launch.definition;
  return launchBeside(launch, { dir: `${service?.directory ?? dir}/log`, chroot: undefined });
};

/** The exit code that `finish` gets for a run that a signal ended, or whose exit is unknown (s6: servicedir, finish). */
const NO_CODE = 256;

/** The launch of `finish CODE SIGNAL` of a daemon's service directory. */
export const launchFinish = (
  launch: Launch,
  { code, signal }: { readonly code: number | undefined; readonly signal: number },
): LaunchPlan => launchBeside(launch, { start: `exec ./finish ${code ?? NO_CODE} ${signal}` });

/** A program that runs beside the daemon: it gets neither the daemon's socket, lock nor readiness pipe. */
const launchBeside = (launch: Launch, change: Partial<Definition>): LaunchPlan =>
  launchDaemon({
    ...launch,
    definition: { ...launch.definition, ...change, listen: "none", ready: DEFAULTS.ready, lock: undefined },
    socketPath: undefined,
    notifyPath: undefined,
    again: undefined,
  });

/** Exit code by which `finish` forbids another run (s6: servicedir, finish). */
export const PERMANENT_FAILURE = 125;

/** How a log is written. */
type LogTerms = Pick<Definition, "logSize" | "logFiles" | "logTotal" | "logCompress" | "logSelect">;

/**
 * The launch of the program that writes a daemon's log, as its owner
 * (docs/explanation/architecture.md#a-log-line). Only the owner can read its files, and programs of root that act as the owner.
 */
export const launchLogger = (directory: string, owner: Account, terms: LogTerms, privileged: boolean): LaunchPlan => ({
  words: [
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
  environment: new Map([["PATH", PATH]]),
  directory: "/",
  umask: 0o077,
  nice: undefined,
  cgroup: undefined,
  account: privileged ? owner : undefined,
  keepsCapabilities: false,
  lock: undefined,
  reader: undefined,
  jail: undefined,
  limits: [],
  socketDescriptor: undefined,
  setsListenPid: false,
  readyDescriptor: undefined,
  notifyPath: undefined,
});
