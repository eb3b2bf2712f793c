/** The limits of a container: those of the conf file, within the budget of the owner. */
import { type Budget, budgetLimits } from "../../../supervisor/src/core/budget.ts";
import { least, type ResourceLimits } from "../../../supervisor/src/core/resource-limits.ts";
import { MIB, size } from "../../../supervisor/src/core/units.ts";
import { ContainerRefusal } from "./refusal.ts";

/** What the engine enforces. */
export interface ContainerLimits {
  /** Bytes; undefined: none but that of the cgroups above. */
  readonly memory: number | undefined;
  readonly processes: number;
  /** undefined: none. */
  readonly nanoCpus: number | undefined;
}

/** Processes of a container whose conf file and budget have no limit. */
const USUAL_PROCESSES = 512;
/** The container's first process, which is ours. */
const SHIM_PROCESSES = 1;
/** No engine makes a container with less. */
const LEAST_MEMORY = 6 * MIB;
const NANO = 1_000_000_000;
/** Least that an engine accepts, in processors. */
const LEAST_CPU = 0.01;

/**
 * @param cpus processors of the engine: it refuses more
 * @throws ContainerRefusal where the memory is too little for any container
 */
export const containerLimits = (own: ResourceLimits, budget: Budget, cpus: number): ContainerLimits => {
  const most = budgetLimits(budget);
  const memory = least(own.memory, most.memory);
  if (memory !== undefined && memory < LEAST_MEMORY) {
    const written = size().write(memory);
    throw new ContainerRefusal(
      "refused",
      `memory: a container needs at least 6 MiB, and this one may have ${written}; raise it`,
    );
  }
  const cpu = least(own.cpu, most.cpu);
  return {
    memory,
    processes: (least(own.processes, most.processes) ?? USUAL_PROCESSES) + SHIM_PROCESSES,
    nanoCpus: cpu === undefined || cpu >= cpus ? undefined : Math.round(Math.max(cpu, LEAST_CPU) * NANO),
  };
};
