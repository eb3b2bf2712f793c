/** The parts of a daemon, connected with each other. */
import { definitionText } from "../conf/definition-text.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import type { Definition } from "../core/definition.ts";
import { alive, type Event, type State } from "../core/lifecycle.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { CgroupSettings } from "../core/resource-limits.ts";
import type { Terms } from "../core/terms.ts";
import { Clients, type ClientsHost } from "./clients.ts";
import { cgroupSettingsOf } from "./daemon-limits.ts";
import { Instance, type InstanceHost } from "./instance.ts";
import { InstanceSet } from "./instance-set.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { FoundFile } from "./ports/conf-source.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { LogTrace } from "./ports/logs.ts";
import type { Ports } from "./ports/ports.ts";
import type { ProcessIdentity } from "./ports/processes.ts";
import { Restart, type RestartHost } from "./restart.ts";
import { rlimited } from "./rlimited.ts";
import { type OpenResources, SharedResources, type SharedResourcesHost } from "./shared-resources.ts";
import type { LatestRuns } from "./waiters.ts";

/** What a daemon needs of the world. */
export type DaemonPorts = Omit<Ports, "confs">;

/** What the parts need of their daemon, besides its private state. */
interface PartsDaemon {
  readonly key: DaemonKey;
  /** Terms of its next runs. */
  terms: Terms | undefined;
  /** Its conf file as last read. */
  readonly file: Pick<FoundFile, "fingerprint">;
  readonly ownerContext: OwnerContext;
  readonly exited: boolean;
  /** Desired number of instances. */
  readonly size: number;
  feed(event: Exclude<Event, { run: number }>): void;
  runs(): LatestRuns;
  outcome(desired: "up" | "down", since: LatestRuns): Promise<RequestResult>;
}

/** The private state of the daemon, and what it does about its parts. */
interface PartsHost {
  readonly limits: DaemonLimits;
  /** Number of instances that `scale` set; undefined where it did not. */
  scale(): number | undefined;
  /** Main processes that an earlier supervisor recorded, while the daemon resumes. */
  recorded(): readonly ProcessIdentity[];
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void;
  /** A candidate failed and ends. */
  rolledBack(candidate: Instance, reason: string): void;
  /** Answers the waiters whose outcome is decided. */
  answer(): void;
  /** From now on the size under an earlier supervisor does not count. */
  forgetFormerSize(): void;
}

/** Each part sees the others and the daemon through it. Not through literals with accessors: these take 3 KB for each daemon. */
export class DaemonParts implements SharedResourcesHost, InstanceHost, ClientsHost, RestartHost {
  readonly shared: SharedResources;
  readonly instances: InstanceSet;
  readonly clients: Clients;
  readonly restart: Restart;
  readonly #ports: DaemonPorts;
  readonly #daemon: PartsDaemon;
  readonly #host: PartsHost;

  /** @param closing resolves when a former daemon of the same name has closed its log */
  constructor(ports: DaemonPorts, daemon: PartsDaemon, host: PartsHost, closing: Promise<void> | undefined) {
    this.#ports = ports;
    this.#daemon = daemon;
    this.#host = host;
    this.shared = new SharedResources(ports, this, closing);
    this.instances = new InstanceSet(
      (number, latestRun) => new Instance({ ...daemon.key, instance: number }, daemon.terms, latestRun, ports, this),
      () => daemon.size,
    );
    this.clients = new Clients(ports.clock, this);
    this.restart = new Restart(ports.clock, this);
  }

  /** Adds the instances that waited for retiring runs to end, or for the end of a block. */
  complete(): void {
    // A rolling restart has one instance more than the size.
    if (!this.rolling) this.instances.even();
  }

  get key(): DaemonKey {
    return this.#daemon.key;
  }
  get terms(): Terms | undefined {
    return this.#daemon.terms;
  }
  set terms(terms: Terms | undefined) {
    this.#daemon.terms = terms;
  }
  get exited(): boolean {
    return this.#daemon.exited;
  }
  get size(): number {
    return this.#daemon.size;
  }
  get scale(): number | undefined {
    return this.#host.scale();
  }
  get ownerContext(): OwnerContext {
    return this.#daemon.ownerContext;
  }
  get limits(): DaemonLimits {
    return this.#host.limits;
  }
  get rolling(): boolean {
    return this.restart.rolling !== undefined;
  }

  leaders(): readonly ProcessIdentity[] {
    return [...this.#host.recorded(), ...this.instances.all().flatMap(({ run }) => run?.trace?.leader ?? [])];
  }
  logShare(): number | undefined {
    return this.ownerContext.logShare();
  }
  limited(terms: Terms): Definition {
    return rlimited(terms, this.key.owner, this.ownerContext, this.#ports.machine.means);
  }
  settings(terms: Terms): CgroupSettings {
    const { ownerContext, size } = this;
    const instances = (): readonly Instance[] => this.instances.all();
    return cgroupSettingsOf({ terms, size, ownerContext, means: this.#ports.machine.means, instances }, terms);
  }

  open(terms: Terms, stage: (name: string) => void): OpenResources {
    return this.shared.open(terms, stage);
  }
  logTrace(): LogTrace | undefined {
    return this.shared.logTrace;
  }
  confOf({ definition, fingerprint }: Terms): string | undefined {
    return fingerprint === this.#daemon.file.fingerprint ? undefined : definitionText(definition);
  }
  logChanged(): void {
    this.instances.remember();
  }
  settleLog(): void {
    this.shared.settleLog(() => this.instances.all().every(({ pid }) => pid === 0));
  }

  markClients(starting: Instance): void {
    this.clients.mark(starting);
  }
  hasCompany(one: Instance): boolean {
    return this.instances.all().some((other) => other !== one && alive(other.state));
  }
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void {
    this.#host.stepped(instance, event, before, after);
  }
  waits(): void {
    this.#host.answer();
  }

  connected(): void {
    this.#daemon.feed({ type: "connection" });
  }
  idle(): void {
    this.#daemon.feed({ type: "idle" });
  }

  runs(): LatestRuns {
    return this.#daemon.runs();
  }
  outcome(desired: "up" | "down", since: LatestRuns): Promise<RequestResult> {
    return this.#daemon.outcome(desired, since);
  }
  forgetFormerSize(): void {
    this.#host.forgetFormerSize();
  }
  rolledBack(candidate: Instance, reason: string): void {
    this.#host.rolledBack(candidate, reason);
  }
}
