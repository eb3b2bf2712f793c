/** Makes the adapters of the engine's ports for this machine. */
import { mkdirSync } from "node:fs";
import { basename } from "node:path";
import type { Logger } from "pino";
import { MAX_DAEMON_FILE, parseDaemonFile } from "../conf/daemon-file.ts";
import { parseService } from "../conf/service-directory.ts";
import { ContainerRuns } from "../containers/container-runs.ts";
import { type Guests, openGuests } from "../containers/guests.ts";
import { describeProblem, NAME } from "../core/definition.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import type { Ports } from "../engine/ports/ports.ts";
import { KnownAccounts } from "../os/accounts/known-accounts.ts";
import { ConfFiles } from "../os/files/conf-files.ts";
import { RecordFiles } from "../os/files/record-files.ts";
import { lockDirectory } from "../os/files/run-lock.ts";
import { findServiceTools } from "../os/files/service-tools.ts";
import { StateFiles } from "../os/files/state-file.ts";
import { systemClock } from "../os/kernel/clock.ts";
import { OwnerBudgets } from "../os/kernel/owner-budgets.ts";
import { privileged } from "../os/kernel/privileges.ts";
import { SocketSnapshots } from "../os/kernel/socket-snapshot.ts";
import { killGroup } from "../os/limits/cgroup.ts";
import { CgroupLimits } from "../os/limits/cgroup-limits.ts";
import type { CgroupRoot } from "../os/limits/cgroup-root.ts";
import { FifoLogs } from "../os/logs/fifo-logs.ts";
import { Launches } from "../os/processes/launches.ts";
import { recordsIn } from "../os/processes/left-daemons.ts";
import { endShim, openShim } from "../os/processes/own-shim.ts";
import { RunSlots } from "../os/processes/run-slots.ts";
import { TIMEOUT as SHIM_TIMEOUT, type ShimLink } from "../os/shim/link.ts";
import { isOutdated } from "../os/shim/open-shim.ts";
import { RecordNotes } from "../os/shim/record-notes.ts";
import { PublishedSockets } from "../os/sockets/published-sockets.ts";
import type { Flags } from "./flags.ts";

/** Daemons of one owner that are loaded at most. */
export const MOST_DAEMONS = 256;

/** The ports, and adapters that other rooms than the engine use, too. */
export interface Machine {
  readonly ports: Ports;
  readonly accounts: KnownAccounts;
  readonly confs: ConfFiles;
  readonly cgroups: CgroupRoot;
  /** Images of containers; undefined where there are no containers. */
  readonly images: Pick<Guests, "images" | "acceptImage"> | undefined;
  readonly shim: Pick<ShimLink, "lost">;
  /** Whether another build of the shim is installed than the one that runs. */
  readonly shimOutdated: boolean;
  /** Writes records: the next program continues from them and from what the shim has. */
  prepareReExec(): void;
  /** Kills the remaining processes of all daemons, where there are cgroups. To be called when the shim is lost. */
  killAll(): void;
  /** Ends the shim and removes the cgroups that have no processes. All daemons must have stopped. */
  release(): void;
}

export const NO_CONTAINERS = "containers are not enabled here (see docs/how-to/containers.md)";

/** Name of the cgroup of the supervisor with this run directory, an absolute path. */
export const cgroupName = (runDir: string): string =>
  `dmhost-${runDir.slice(1).replaceAll("-", "--").replaceAll("/", "-")}`;

/**
 * Makes the adapters, locks their directories and connects to the shim.
 * @param program path of the supervisor's program
 * @param isOver whether this program is to end: it then waits no longer for a shim that does not answer
 * @throws Error when another supervisor has locked one of the directories, or the shim cannot be started
 */
export const makeMachine = async (
  flags: Flags,
  base: AccountBase,
  program: string,
  log: Pick<Logger, "warn">,
  isOver: () => boolean = () => false,
): Promise<Machine> => {
  const { runDir, fastcgiDir, stateDir, toolsDir } = flags;
  for (const directory of [runDir, stateDir]) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    lockDirectory(directory);
  }
  const warn =
    (message: string) =>
    (reason: string): void =>
      log.warn({ reason }, message);
  const { link, cgroups } = await openShim(
    flags,
    program,
    cgroupName(runDir),
    warn("ending the shim of an earlier supervisor: its daemons start again"),
    {
      timeout: SHIM_TIMEOUT,
      report: warn("the start waits for the shim, which holds the daemons"),
      isOver,
    },
  );
  const shimOutdated = isOutdated(link, program);
  if (shimOutdated) {
    log.warn(
      { running: link.requests.edition },
      "another build of the shim is installed than the one that runs: a restart of the service replaces it and restarts all daemons",
    );
  }
  if (cgroups.path === undefined) {
    log.warn({ reason: cgroups.why }, "no cgroups: a process that leaves its session may survive a stop of its daemon");
  }
  if (cgroups.path !== undefined && basename(cgroups.path) !== cgroupName(runDir)) {
    log.warn(
      { cgroup: cgroups.path },
      "the cgroup of the usual name belongs to another supervisor; this one has its own",
    );
  }
  const report = (daemon: string, reason: string): void => log.warn({ daemon, reason }, "a daemon's resources failed");
  const accounts = new KnownAccounts(base);
  const launches = new Launches(link, (account) => accounts.identity(account).groups);
  const snapshots = new SocketSnapshots();
  const confs = new ConfFiles(
    {
      parse: parseDaemonFile,
      parseService,
      describe: describeProblem,
      names: NAME,
      largest: MAX_DAEMON_FILE,
      mostDaemons: MOST_DAEMONS,
    },
    (owner) => accounts.identity(owner),
  );
  const files = new StateFiles(recordsIn(stateDir));
  const guests = openGuests(flags, link, warn("no containers"));
  const acknowledge = (): void => {
    launches.acknowledge();
    guests?.acknowledge();
  };
  const records = new RecordFiles(files, new RecordNotes(link), acknowledge, report);
  const tools = toolsDir ?? findServiceTools(program);
  const budgets = new OwnerBudgets();
  const processes = new RunSlots({ runDir, cgroups, link, launches, snapshots, report, budgets });
  const runs = guests ? new ContainerRuns(processes, { guests, snapshots, budgets }) : processes;
  const sockets = new PublishedSockets({ root: fastcgiDir, link, accounts, snapshots, report });
  const logs = new FifoLogs({ runDir, link, launches, accounts, report });
  const limits = new CgroupLimits(cgroups, report);
  return {
    ports: {
      clock: systemClock,
      confs,
      runs,
      sockets,
      logs,
      limits,
      records,
      machine: { means: cgroups, privileged, tools, containerObjection: guests ? undefined : NO_CONTAINERS },
    },
    accounts,
    confs,
    cgroups,
    images: guests,
    shim: link,
    shimOutdated,
    prepareReExec: () => {
      records.flush();
    },
    killAll: () => {
      if (cgroups.path !== undefined) killGroup(cgroups.path);
    },
    release: () => {
      records.flush();
      guests?.close();
      endShim(link, cgroups, log);
    },
  };
};
