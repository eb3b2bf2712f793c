/** All containers of this supervisor, and those that an earlier one has left. */
import { join } from "node:path";
import type { BrokerContainer, BrokerEvent, BrokerImage } from "@dmhost/broker-contract";
import { type InstanceKey, ownerOf } from "../core/daemon-key.ts";
import type { FoundRun } from "../engine/ports/runs.ts";
import { pathInHierarchy } from "../os/limits/hierarchy.ts";
import type { ShimLink } from "../os/shim/link.ts";
import { BrokerLink } from "./broker-link.ts";
import { Guest } from "./guest.ts";
import { containerName, readContainerName } from "./guest-names.ts";

export class Guests {
  readonly #link: ShimLink;
  readonly #broker: BrokerLink;
  readonly #directory: string;
  readonly #byName = new Map<string, Guest>();
  /** Owners whose containers are left alone though nobody knows them; undefined until all daemons are loaded. */
  #isSpared: ((owner: string) => boolean) | undefined;

  constructor(link: ShimLink, broker: BrokerLink, runDir: string) {
    this.#link = link;
    this.#broker = broker;
    this.#directory = join(runDir, "guests");
    broker.start({
      connected: (containers) => this.#compare(containers),
      event: (event) => this.#handle(event),
    });
  }

  /** A new container, which is not made yet. @param made number of the run that it is made for */
  add(key: InstanceKey, made: number): Guest {
    const guest = new Guest(key, made, {
      link: this.#link,
      broker: this.#broker,
      directory: this.#directory,
      over: (over) => this.#byName.delete(over.name),
    });
    this.#byName.set(guest.name, guest);
    return guest;
  }

  /** A container of an earlier supervisor; undefined where it has ended. */
  adopt(key: InstanceKey, made: number): Guest | undefined {
    const found = this.#link.foundContainers().find(({ name }) => name === containerName(key, made));
    if (found === undefined) return undefined;
    if (found.gone) {
      this.#link.closeContainer(found.name);
      return undefined;
    }
    const guest = this.add(key, made);
    guest.adopt(found.pid);
    this.#look();
    return guest;
  }

  /** Whether an earlier supervisor has left containers of this instance. */
  hasFound(daemon: string, instance: number): boolean {
    return this.found(daemon).some((each) => each.instance === instance);
  }

  /**
   * The containers of a daemon that an earlier supervisor has left, by the runs that they were made for. Whether these live only the
   * shims in them know: a container may wait for its next run.
   */
  found(daemon: string): readonly FoundRun[] {
    return this.#link.foundContainers().flatMap(({ name, gone }) => {
      const id = readContainerName(name);
      return id?.daemon === daemon && !gone ? { instance: id.instance, run: id.run, lives: false } : [];
    });
  }

  /** Ends the containers that an earlier supervisor has left and nobody has adopted. */
  removeStrays(isStray: (daemon: string) => boolean): void {
    for (const { name } of this.#link.foundContainers()) {
      const daemon = readContainerName(name)?.daemon;
      if (daemon === undefined || isStray(daemon)) this.#link.closeContainer(name);
    }
  }

  /** All daemons are loaded: the broker's containers that nobody knows are removed, except those of spared owners. */
  settle(isSpared: (owner: string) => boolean): void {
    this.#isSpared = isSpared;
    this.removeStrays((daemon) => !isSpared(ownerOf(daemon)));
    this.#look();
  }

  /** The images that containers are made of, as the broker has them. Rejects with an Error in words. */
  images(): Promise<readonly BrokerImage[]> {
    return new Promise((resolve, reject) => {
      const failed = (reason: string): void => reject(new Error(reason));
      this.#broker.request("images", {}, ({ images }) => resolve(images), failed);
    });
  }
  /** See BrokerRequests: accept. Rejects with an Error in words. */
  acceptImage(image: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (reason: string): void => reject(new Error(reason));
      this.#broker.request("accept", { image }, () => resolve(), failed);
    });
  }

  acknowledge(): void {
    for (const guest of this.#byName.values()) guest.acknowledge();
  }

  /** Ends all of them. */
  close(): void {
    for (const guest of [...this.#byName.values()]) guest.close();
    this.#broker.close();
  }

  /** The path of a run's cgroup in the hierarchy, where the engine can put a container into it; undefined where it cannot. */
  parentOf(cgroup: string | undefined): string | undefined {
    const { engine } = this.#broker;
    if (cgroup === undefined || engine?.cgroupVersion !== 2 || engine.cgroupDriver !== "cgroupfs") return undefined;
    return pathInHierarchy(cgroup);
  }

  #look(): void {
    this.#broker.request(
      "list",
      {},
      ({ containers }) => this.#compare(containers),
      () => undefined,
    );
  }

  /** Learns the ids of containers that are known, and removes the others. */
  #compare(containers: readonly BrokerContainer[]): void {
    for (const each of containers) {
      const name = `${each.owner}/${each.name}:${each.instance}:${each.run}:container`;
      const guest = this.#byName.get(name);
      if (guest) guest.id ??= each.container;
      if (guest && !each.running) guest.ended(each.exitCode ?? 0);
      const isKnown = guest !== undefined || this.#link.foundContainers().some((found) => found.name === name);
      if (isKnown || this.#isSpared?.(each.owner) !== false) continue;
      this.#broker.request(
        "remove",
        { container: each.container },
        () => undefined,
        () => undefined,
      );
    }
  }

  #handle(event: BrokerEvent["event"]): void {
    if (event.kind === "engine") return;
    const guest = [...this.#byName.values()].find(({ id }) => id === event.container);
    if (event.kind === "ended") guest?.ended(event.exitCode);
  }
}

/**
 * The containers, where a broker makes them.
 * @param broker its socket
 * @param report called with the reason why there are none at present, once until there are
 */
export const openGuests = (
  { broker, runDir }: { readonly broker: string | undefined; readonly runDir: string },
  link: ShimLink,
  report: (reason: string) => void,
): Guests | undefined => {
  if (broker === undefined) return undefined;
  if (link.requests.admitsContainers) {
    const problem = (reason: string): void => report(`the broker at ${broker} cannot be used: ${reason}`);
    return new Guests(link, new BrokerLink(broker, problem), runDir);
  }
  report("the shim that runs is of an earlier release; a restart of the service replaces it and restarts all daemons");
  return undefined;
};
