/** The parts of a daemon, connected with each other. */
import type { DaemonKey } from "../core/daemon-key.ts";
import { alive, type Event, type State } from "../core/lifecycle.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { Terms } from "../core/terms.ts";
import { Clients, type ClientsHost } from "./clients.ts";
import { cgroupSettingsOf } from "./daemon-limits.ts";
import { Instance, type InstanceHost } from "./instance.ts";
import { InstanceSet } from "./instance-set.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { Ports } from "./ports/ports.ts";
import type { ProcessIdentity } from "./ports/processes.ts";
import { Restart, type RestartHost } from "./restart.ts";
import { rlimited } from "./rlimited.ts";
import { SharedResources } from "./shared-resources.ts";
import type { LatestRuns } from "./waiters.ts";

/** What a daemon needs of the world. */
export type DaemonPorts = Omit<Ports, "confs">;

/** What the parts need of their daemon. */
interface PartsHost {
  readonly key: DaemonKey;
  /** Terms of its next runs. */
  terms: Terms | undefined;
  readonly ownerContext: OwnerContext;
  readonly limits: DaemonLimits;
  /** Number of instances that `scale` set; undefined where it did not. */
  readonly scale: number | undefined;
  /** Desired number of instances. */
  readonly size: number;
  /** Main processes that an earlier supervisor recorded, while the daemon resumes. */
  readonly recorded: readonly ProcessIdentity[];
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void;
  /** A candidate failed and ends. */
  rolledBack(candidate: Instance, reason: string): void;
  /** Answers the waiters whose outcome is decided. */
  answer(): void;
  feed(event: Exclude<Event, { run: number }>): void;
  runs(): LatestRuns;
  outcome(desired: "up" | "down", since: LatestRuns): Promise<RequestResult>;
  /** From now on the size under an earlier supervisor does not count. */
  forgetFormerSize(): void;
}

export class DaemonParts {
  readonly shared: SharedResources;
  readonly instances: InstanceSet;
  readonly clients: Clients;
  readonly restart: Restart;

  /** @param closing resolves when a former daemon of the same name has closed its log */
  constructor(ports: DaemonPorts, host: PartsHost, closing: Promise<void> | undefined) {
    const limited = (terms: Terms) => rlimited(terms, host.key.owner, host.ownerContext, ports.machine.means);
    this.shared = new SharedResources(
      ports,
      {
        get key() {
          return host.key;
        },
        limits: host.limits,
        leaders: () => [...host.recorded, ...this.instances.all().flatMap(({ run }) => run?.trace.leader ?? [])],
        logShare: () => host.ownerContext.logShare(),
        limited,
        logChanged: () => this.instances.remember(),
      },
      closing,
    );
    const instanceHost = this.#instanceHost(ports, host, limited);
    this.instances = new InstanceSet(
      (number, latestRun) =>
        new Instance({ ...host.key, instance: number }, host.terms, latestRun, ports, instanceHost),
      () => host.size,
    );
    const rolling = () => this.restart.rolling !== undefined;
    const parts: ClientsHost & RestartHost = {
      get terms() {
        return host.terms;
      },
      set terms(terms) {
        host.terms = terms;
      },
      get rolling() {
        return rolling();
      },
      instances: this.instances,
      shared: this.shared,
      connected: () => host.feed({ type: "connection" }),
      idle: () => host.feed({ type: "idle" }),
      runs: () => host.runs(),
      outcome: (desired, since) => host.outcome(desired, since),
      forgetFormerSize: () => host.forgetFormerSize(),
      rolledBack: (candidate, reason) => host.rolledBack(candidate, reason),
    };
    this.clients = new Clients(ports.clock, parts);
    this.restart = new Restart(ports.clock, parts);
  }

  /** Adds the instances that waited for retiring runs to end, or for the end of a block. */
  complete(): void {
    // A rolling restart has one instance more than the size.
    if (!this.restart.rolling) this.instances.even();
  }

  #instanceHost(ports: DaemonPorts, host: PartsHost, limited: InstanceHost["limited"]): InstanceHost {
    const all = () => this.instances.all();
    return {
      open: (terms, stage) => this.shared.open(terms, stage),
      markClients: (starting) => this.clients.mark(starting),
      hasCompany: (one) => all().some((other) => other !== one && alive(other.state)),
      stepped: (instance, event, before, after) => host.stepped(instance, event, before, after),
      waits: () => host.answer(),
      settleLog: () => this.shared.settleLog(() => all().every(({ pid }) => pid === 0)),
      logTrace: () => this.shared.logTrace,
      get scale() {
        return host.scale;
      },
      get size() {
        return host.size;
      },
      ownerContext: host.ownerContext,
      limits: host.limits,
      settings: (terms) => {
        const { ownerContext, size } = host;
        return cgroupSettingsOf({ terms, size, ownerContext, means: ports.machine.means, instances: all }, terms);
      },
      limited,
    };
  }
}
