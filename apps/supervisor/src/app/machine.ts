/** Makes the adapters of the engine's ports for this machine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { MAX_DAEMON_FILE, parseDaemonFile } from "../conf/daemon-file.ts";
import { parseService } from "../conf/service-directory.ts";
import { describeProblem, NAME } from "../core/definition.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import { CONTROLLERS } from "../core/resource-limits.ts";
import type { Ports } from "../engine/ports/ports.ts";
import { KnownAccounts } from "../os/accounts/known-accounts.ts";
import { ConfFiles } from "../os/files/conf-files.ts";
import { RecordFiles } from "../os/files/record-files.ts";
import { lockDirectory } from "../os/files/run-lock.ts";
import { findServiceTools } from "../os/files/service-tools.ts";
import { StateFiles } from "../os/files/state-file.ts";
import { systemClock } from "../os/kernel/clock.ts";
import { OwnerBudgets } from "../os/kernel/owner-budgets.ts";
import { Poller } from "../os/kernel/poller.ts";
import { SocketSnapshots } from "../os/kernel/socket-snapshot.ts";
import { CgroupLimits } from "../os/limits/cgroup-limits.ts";
import { type CgroupRoot, findCgroupRoot } from "../os/limits/cgroup-root.ts";
import { FifoLogs } from "../os/logs/fifo-logs.ts";
import { RunSlots } from "../os/processes/run-slots.ts";
import { PublishedSockets } from "../os/sockets/published-sockets.ts";
import type { Flags } from "./flags.ts";

/** Daemons of one owner that are loaded at most. */
export const MOST_DAEMONS = 256;

/** The ports, and adapters that others than the engine use as well. */
export interface Machine {
  readonly ports: Ports;
  readonly accounts: KnownAccounts;
  readonly confs: ConfFiles;
  readonly cgroups: CgroupRoot;
  /** Writes records and ends standby launches, for a re-exec; returns the held sockets: descriptors by paths. */
  prepareReExec(): ReadonlyMap<string, number>;
}

/** Name of the cgroup of the supervisor with this run directory, an absolute path. */
export const cgroupName = (runDir: string): string =>
  `dmhost-${runDir.slice(1).replaceAll("-", "--").replaceAll("/", "-")}`;

/**
 * Makes the adapters and locks their directories.
 * @param inherited sockets that re-exec kept open in this process: descriptors by paths
 * @throws Error when another supervisor has locked one of the directories
 */
export const makeMachine = (
  flags: Flags,
  base: AccountBase,
  inherited: Map<string, number>,
  program: string,
  log: Pick<Logger, "warn">,
): Machine => {
  const { runDir, fastcgiDir, stateDir, toolsDir } = flags;
  for (const directory of [runDir, stateDir]) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    lockDirectory(directory);
  }
  const cgroups = findCgroupRoot(cgroupName(runDir), CONTROLLERS);
  if (cgroups.path === undefined) {
    log.warn({ reason: cgroups.why }, "no cgroups: a process that leaves its session may outlive its daemon");
  }
  const report = (daemon: string, reason: string): void => log.warn({ daemon, reason }, "a daemon's resources failed");
  const accounts = new KnownAccounts(base);
  const poller = new Poller();
  const snapshots = new SocketSnapshots();
  const probing = new OwnerBudgets();
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
  const records = new RecordFiles(new StateFiles(join(stateDir, "daemons")), report);
  const tools = toolsDir ?? findServiceTools(program);
  const runs = new RunSlots({ runDir, tools, poller, snapshots, report }, probing);
  const sockets = new PublishedSockets({ root: fastcgiDir, accounts, poller, snapshots, inherited, report });
  const logs = new FifoLogs({ runDir, accounts, poller, report });
  const limits = new CgroupLimits(cgroups, report);
  return {
    ports: { clock: systemClock, confs, runs, sockets, logs, limits, records },
    accounts,
    confs,
    cgroups,
    prepareReExec: () => {
      records.flush();
      runs.discardNow();
      return sockets.descriptors();
    },
  };
};
