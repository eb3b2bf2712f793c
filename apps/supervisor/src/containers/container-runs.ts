/** The port runs where daemons can have containers: each instance has a place for processes and one for containers. */
import { type InstanceKey, idOf } from "../core/daemon-key.ts";
import type { HelperProcess } from "../engine/ports/processes.ts";
import type { FoundRun, LiveRun, RunContext, RunEvents, RunSlot, Runs, RunTrace } from "../engine/ports/runs.ts";
import type { LaunchPlan } from "../launch/plan.ts";
import { ContainerSlot, type ContainerSlotOptions } from "./container-slot.ts";

/** A slot whose runs are processes or in containers, by their plans. */
class EitherSlot implements RunSlot {
  readonly #key: InstanceKey;
  readonly #options: ContainerSlotOptions;
  readonly #processes: RunSlot;
  readonly #containers: ContainerSlot;
  #isContained = false;

  constructor(key: InstanceKey, processes: RunSlot, options: ContainerSlotOptions) {
    this.#key = key;
    this.#processes = processes;
    this.#options = options;
    this.#containers = new ContainerSlot(key, options);
  }

  get notifyPath(): string {
    return this.#processes.notifyPath;
  }

  launch(run: number, plan: LaunchPlan, context: RunContext, events: RunEvents): LiveRun {
    this.#isContained = plan.container !== undefined;
    if (!this.#isContained) this.#containers.clear();
    return (this.#isContained ? this.#containers : this.#processes).launch(run, plan, context, events);
  }

  take(run: number, pid: number, again: number | undefined, context: RunContext, events: RunEvents): LiveRun {
    return (this.#isContained ? this.#containers : this.#processes).take(run, pid, again, context, events);
  }

  forbidNext(run: number): void {
    (this.#isContained ? this.#containers : this.#processes).forbidNext(run);
  }

  adopt(run: number, trace: RunTrace | undefined, context: RunContext, events: RunEvents): LiveRun | undefined {
    const { guests } = this.#options;
    this.#isContained =
      trace?.container !== undefined || (trace === undefined && guests.hasFound(idOf(this.#key), this.#key.instance));
    return (this.#isContained ? this.#containers : this.#processes).adopt(run, trace, context, events);
  }

  finishing(): HelperProcess | undefined {
    return this.#processes.finishing();
  }

  groups(): readonly string[] {
    return [...this.#processes.groups(), ...this.#containers.groups()];
  }
}

export class ContainerRuns implements Runs {
  readonly #processes: Runs;
  readonly #options: ContainerSlotOptions;

  /** @param processes runs that are no containers */
  constructor(processes: Runs, options: ContainerSlotOptions) {
    this.#processes = processes;
    this.#options = options;
  }

  slot(key: InstanceKey): RunSlot {
    return new EitherSlot(key, this.#processes.slot(key), this.#options);
  }

  found(key: Parameters<Runs["found"]>[0]): readonly FoundRun[] {
    return [...this.#processes.found(key), ...this.#options.guests.found(idOf(key))];
  }

  removeStray(owner: string, name: string, trace: RunTrace): void {
    this.#options.guests.removeStrays((daemon) => daemon === `${owner}/${name}`);
    this.#processes.removeStray(owner, name, trace);
  }

  removeStrays(isSpared: (owner: string) => boolean): void {
    this.#processes.removeStrays(isSpared);
    this.#options.guests.settle(isSpared);
  }
}
