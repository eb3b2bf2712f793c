/** Connects the parts of the supervisor. It decides nothing, so no unit test covers it: the system tests execute it. */
import { join } from "node:path";
import type { Logger } from "pino";
import { createApi } from "../api/server.ts";
import { Supervisor } from "../engine/supervisor.ts";
import { NginxSites } from "../os/files/nginx-sites.ts";
import { releaseMemory } from "../os/kernel/own-memory.ts";
import { reExec } from "../os/processes/re-exec.ts";
import { SiteInstaller } from "../os/sockets/site-installer.ts";
import { Publisher } from "../web/publisher.ts";
import { apiSurroundings } from "./api-surroundings.ts";
import { controlSockets } from "./control.ts";
import type { Flags } from "./flags.ts";
import { Loading } from "./loading.ts";
import { flushAndExit, logTransitions } from "./logging.ts";
import { type Machine, makeMachine } from "./machine.ts";
import { loadPolicy } from "./policy.ts";
import { editionOf } from "./program-edition.ts";
import { Reload, warnOf } from "./reload.ts";
import { Service } from "./service.ts";

/** Time without activity after which memory is released. In ms. */
const QUIET = 10_000;

/** The ports for publishing sites; undefined without --sites-dir. */
const webOf = ({ sitesDir, siteLogsDir, fastcgiDir, stateDir }: Flags, { accounts }: Machine, log: Logger) => {
  if (sitesDir === undefined) return undefined;
  const memory = join(stateDir, "sites.json");
  const identity = accounts.identity.bind(accounts);
  const damaged = (reason: string) => log.warn({ reason }, "a record of sites cannot be used");
  const sites = new NginxSites({ sitesDir, logsDir: siteLogsDir, fastcgiDir, memory, report: damaged, identity });
  const report = (reason: string) => log.warn({ sitesDir, reason }, "no socket for the web server");
  return { server: new SiteInstaller(sitesDir, report), siteFiles: sites, record: sites };
};

/**
 * Makes the service of these flags, which has not started yet.
 * @param program path of the supervisor's program
 * @param isOver whether this program is to end
 * @throws Error when the policy is refused, or another supervisor has locked one of the directories
 */
export const wire = async (flags: Flags, program: string, log: Logger, isOver: () => boolean): Promise<Service> => {
  const executing = editionOf(program);
  const { inForce, problems } = loadPolicy(flags.config);
  warnOf(log, "about the policy", problems);
  const machine = await makeMachine(flags, inForce.accounts, import.meta.filename, log, isOver);
  const { ports, accounts } = machine;
  machine.shim.lost = (reason) => {
    if (supervisor.stopping) {
      log.error({ reason }, "the shim is lost while every daemon is being stopped");
      machine.killAll();
      flushAndExit(log);
      return;
    }
    log.error({ reason }, "the shim is lost: this program executes itself again");
    try {
      machine.prepareReExec();
    } finally {
      // The next program reconciles with whichever shim there is then.
      reExec();
    }
  };
  const supervisor = new Supervisor(ports, inForce, logTransitions(log));
  const releaseTimer = setTimeout(releaseMemory, QUIET).unref();
  const active = (): void => void releaseTimer.refresh();
  const publisher = new Publisher({
    daemons: () => supervisor.daemons(),
    policy: () => supervisor.policy,
    accounts: () => accounts.base,
    web: webOf(flags, machine, log),
    clock: ports.clock,
    port: flags.httpPort,
    reloadInterval: flags.reloadInterval,
    report: (level, text) => {
      active();
      log[level]({ sitesDir: flags.sitesDir }, text);
    },
  });
  const loading = new Loading(supervisor);
  const reloadPolicy = (): Promise<string[]> => reload.policy();
  const api = await createApi(
    supervisor,
    apiSurroundings(supervisor, machine, log, {
      policyFile: flags.config,
      reloadPolicy,
      known: (owners) => loading.known(owners),
      problem: () => publisher.problem,
      answered: active,
    }),
  );
  const control = controlSockets(flags.runDir, supervisor, accounts, api, log);
  const reload = new Reload({
    supervisor,
    accounts,
    control,
    log,
    loadPolicy: () => loadPolicy(flags.config),
    executing,
    onDisk: () => editionOf(program),
    reExec: () => {
      machine.prepareReExec();
      reExec();
    },
  });
  return new Service({
    supervisor,
    publisher,
    control,
    loading,
    reload,
    log,
    onSignal: (signal, handle) => void process.on(signal, handle),
    active,
    release: () => machine.release(),
    exit: () => flushAndExit(log),
  });
};
