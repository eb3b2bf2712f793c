/** The supervisor as a service: wires its parts and handles signals. */
import { closeSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "@dmhost/contract";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { createApi } from "../api/server.ts";
import { type Findings, Supervisor } from "../engine/supervisor.ts";
import { NginxSites } from "../os/files/nginx-sites.ts";
import { releaseMemory } from "../os/kernel/own-memory.ts";
import { releaseCgroupRoot } from "../os/limits/cgroup-root.ts";
import { reExec, takeInherited } from "../os/processes/re-exec.ts";
import { SiteInstaller } from "../os/sockets/site-installer.ts";
import { Publisher } from "../web/publisher.ts";
import { apiSurroundings } from "./api-surroundings.ts";
import { type Control, controlSockets } from "./control.ts";
import type { Flags } from "./flags.ts";
import { flushAndExit, logTransitions } from "./logging.ts";
import { type Machine, makeMachine } from "./machine.ts";
import { type LoadedPolicy, loadPolicy } from "./policy.ts";
import { editionOf } from "./program-edition.ts";

/** Time without activity after which memory is released. In ms. */
const QUIET = 10_000;

export class Service {
  readonly #flags: Flags;
  readonly #log: Logger;
  /** Path of the supervisor's program. */
  readonly #program: string;
  /** Edition of the program that is executing. */
  readonly #edition: string | undefined;
  readonly #inherited = takeInherited();
  readonly #loaded: LoadedPolicy;
  readonly #machine: Machine;
  readonly #supervisor: Supervisor;
  readonly #publisher: Publisher;
  readonly #control: Control;
  readonly #releaseTimer = setTimeout(releaseMemory, QUIET).unref();
  #api: FastifyInstance | undefined;
  #shuttingDown = false;

  /** @throws Error when the policy is refused, or another supervisor has locked one of the directories */
  constructor(flags: Flags, program: string, log: Logger) {
    this.#flags = flags;
    this.#log = log;
    this.#program = program;
    this.#edition = editionOf(program);
    this.#loaded = loadPolicy(flags.config);
    this.#warn("about the policy", this.#loaded.problems);
    const { rule } = this.#loaded;
    this.#machine = makeMachine(flags, rule.accounts, this.#inherited, import.meta.filename, log);
    const { ports, accounts } = this.#machine;
    this.#supervisor = new Supervisor(ports, rule, logTransitions(log));
    this.#publisher = this.#makePublisher();
    this.#control = controlSockets(flags.runDir, this.#supervisor, accounts, () => this.#api, log);
  }

  #makePublisher(): Publisher {
    const { sitesDir, siteLogsDir, fastcgiDir, stateDir, httpPort, reloadInterval } = this.#flags;
    const { ports, accounts } = this.#machine;
    const memory = join(stateDir, "sites.json");
    const identity = accounts.identity.bind(accounts);
    const web = (directory: string) => {
      const places = new NginxSites({ sitesDir: directory, logsDir: siteLogsDir, fastcgiDir, memory, identity });
      const report = (reason: string) => this.#log.warn({ sitesDir, reason }, "no socket for the web server");
      return { server: new SiteInstaller(directory, report), places, record: places };
    };
    return new Publisher({
      daemons: () => this.#supervisor.daemons(),
      policy: () => this.#supervisor.policy,
      accounts: () => accounts.base,
      web: sitesDir === undefined ? undefined : web(sitesDir),
      clock: ports.clock,
      port: httpPort,
      reloadInterval,
      report: (level, text) => {
        this.#releaseTimer.refresh();
        this.#log[level]({ sitesDir }, text);
      },
    });
  }

  /** Starts the daemons and the control API. */
  async start(): Promise<void> {
    this.#api = await createApi(
      this.#supervisor,
      apiSurroundings(this.#supervisor, this.#machine, this.#log, {
        policyFile: this.#flags.config,
        reloadPolicy: () => this.#reloadPolicy(),
        answered: () => this.#releaseTimer.refresh(),
      }),
    );
    process.on("SIGTERM", () => void this.#shutDown());
    process.on("SIGINT", () => void this.#shutDown());
    process.on("SIGHUP", () => void this.#reload());
    await this.#control.open();
    const { found } = this.#rescan();
    this.#supervisor.changed = () => {
      this.#publisher.plan();
      this.#releaseTimer.refresh();
    };
    this.#publisher.plan();
    this.#supervisor.removeStrays();
    for (const fd of this.#inherited.values()) closeSync(fd);
    this.#releaseTimer.refresh();
    this.#log.info({ version: VERSION, daemons: found.length, owners: this.#supervisor.owners() }, "ready");
  }

  #warn(subject: string, problems: readonly string[]): void {
    for (const problem of problems) this.#log.warn({ problem }, subject);
  }

  async #reloadPolicy(): Promise<string[]> {
    const { rule, problems } = loadPolicy(this.#flags.config);
    this.#machine.accounts.base = rule.accounts;
    this.#supervisor.rule(rule);
    await this.#control.open();
    this.#log.info({ owners: this.#supervisor.owners() }, "policy read again");
    return [...problems];
  }

  #rescan(): Findings {
    const findings = this.#supervisor.rescan(this.#supervisor.owners());
    this.#warn("about a conf file", [...findings.problems, ...findings.warnings]);
    return findings;
  }

  /** Reads policy and conf files again; re-executes where the program on disk has changed. */
  async #reload(): Promise<void> {
    try {
      this.#warn("about the policy", await this.#reloadPolicy());
    } catch (error) {
      this.#log.error({ err: error }, "the policy is refused; the one in force stays");
      return;
    }
    const { found, started, changed, removed } = this.#rescan();
    this.#log.info({ found, started, changed, removed }, "conf files read again");
    const current = editionOf(this.#program);
    if (current === undefined || current === this.#edition) return;
    this.#log.info("re-executing: program on disk changed");
    try {
      reExec(this.#machine.prepareReExec());
    } catch (error) {
      this.#log.error({ err: error }, "cannot re-execute; this program continues");
      for (const daemon of this.#supervisor.daemons()) for (const instance of daemon.instances()) instance.refresh();
    }
  }

  async #shutDown(): Promise<void> {
    if (this.#shuttingDown) return;
    this.#shuttingDown = true;
    this.#publisher.close();
    this.#log.info("stopping every daemon");
    await this.#supervisor.shutdown();
    this.#control.close();
    releaseCgroupRoot(this.#machine.cgroups);
    this.#log.info("stopped");
    flushAndExit(this.#log);
  }
}
