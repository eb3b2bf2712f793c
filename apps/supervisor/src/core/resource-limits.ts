/** Limits of a daemon, or of all daemons of an owner together, and the cgroup files that enforce them. */
import type { Amount, Limit, Rlimits } from "./rlimits.ts";
import { cores, count, MIB, type Quantity, size } from "./units.ts";

/** Undefined is no limit. */
export interface ResourceLimits {
  /** Bytes; the run that exceeds it is killed. */
  readonly memory: number | undefined;
  /** Bytes; above it the kernel reclaims memory, which slows processes down. */
  readonly memoryHigh: number | undefined;
  /** Processes and threads. */
  readonly processes: number | undefined;
  /** Processors; 0.5 is half the time of one. */
  readonly cpu: number | undefined;
  /** Share of busy disks, 1 to 10000; undefined is the kernel's default, 100. */
  readonly ioWeight: number | undefined;
}

/** No program starts with less memory than a MiB; the kernel has no more process ids than 4194304. */
const MEMORY = size({ least: MIB });

/** How a limit is written, in a conf file and in [limits]. */
export const LIMIT_QUANTITIES: { readonly [F in LimitField]: Quantity } = {
  memory: MEMORY,
  memoryHigh: MEMORY,
  processes: count({ least: 1, most: 4_194_304 }),
  cpu: cores({ least: 0.01, most: 1024 }),
  ioWeight: count({ least: 1, most: 10_000 }),
};

/** Without any limit. */
export const UNLIMITED: ResourceLimits = {
  memory: undefined,
  memoryHigh: undefined,
  processes: undefined,
  cpu: undefined,
  ioWeight: undefined,
};

export type LimitField = keyof ResourceLimits;

/** Keys of a conf file, by field. */
export const LIMIT_KEYS: { readonly [F in LimitField]: string } = {
  memory: "memory",
  memoryHigh: "memory-high",
  processes: "processes",
  cpu: "cpu",
  ioWeight: "io-weight",
};

export const LIMIT_FIELDS = Object.keys(LIMIT_KEYS) as readonly LimitField[];

/** Controller of cgroup v2 that enforces a limit. */
export const CONTROLLER: { readonly [F in LimitField]: string } = {
  memory: "memory",
  memoryHigh: "memory",
  processes: "pids",
  cpu: "cpu",
  ioWeight: "io",
};

/** Every controller that limits need. */
export const CONTROLLERS: readonly string[] = [...new Set(Object.values(CONTROLLER))];

/** The limits among the keys of a definition. */
export const resourceLimitsOf = ({ memory, memoryHigh, processes, cpu, ioWeight }: ResourceLimits): ResourceLimits => ({
  memory,
  memoryHigh,
  processes,
  cpu,
  ioWeight,
});

/** A file of a cgroup and the text to write to it. */
export type GroupFile = readonly [file: string, text: string];

/** Period of cpu.max, in microseconds. */
const PERIOD = 100_000;
/** Least quota that the kernel accepts, in microseconds. */
const LEAST_QUOTA = 1_000;

/** Files of a cgroup, for every limit: one without a limit may have had one before. */
const groupFiles = ({ memory, memoryHigh, processes, cpu, ioWeight }: ResourceLimits): readonly GroupFile[] => [
  // Swapped memory would escape the limit and slow all tenants down.
  ["memory.swap.max", memory === undefined ? "max" : "0"],
  ["memory.high", `${memoryHigh ?? "max"}`],
  ["memory.max", `${memory ?? "max"}`],
  ["pids.max", `${processes ?? "max"}`],
  ["cpu.max", `${cpu === undefined ? "max" : Math.max(Math.round(cpu * PERIOD), LEAST_QUOTA)} ${PERIOD}`],
  ["io.weight", `default ${ioWeight ?? 100}`],
];

/** Files of the three levels of the tree, `<owner>/<daemon>.d/<run>`. */
export interface CgroupSettings {
  readonly owner: readonly GroupFile[];
  readonly daemon: readonly GroupFile[];
  readonly run: readonly GroupFile[];
}

/** Processes that a log/run may have, besides those of its daemon. */
export const LOG_RUN_PROCESSES = 4;

/** How many process trees a daemon has at a time. */
export interface ProcessCounts {
  /** Runs that are alive or about to start. */
  readonly runs: number;
  /** Runs that `instances=` asks for. */
  readonly size: number;
  /** Further processes in the daemon's cgroup: those of a log/run. */
  readonly otherProcesses: number;
}

const times = (amount: number | undefined, factor: number): number | undefined =>
  amount === undefined ? undefined : Math.ceil(amount * factor);

/** Limits during a rolling restart: the candidate has as much room as each instance. */
export const widened = (
  limits: ResourceLimits,
  { runs, size }: Pick<ProcessCounts, "runs" | "size">,
): ResourceLimits => {
  const factor = Math.max(1, runs / Math.max(1, size));
  return {
    ...limits,
    memory: times(limits.memory, factor),
    memoryHigh: times(limits.memoryHigh, factor),
    processes: times(limits.processes, factor),
    ...(limits.cpu !== undefined && { cpu: limits.cpu * factor }),
  };
};

/**
 * Cgroup files of a daemon within the budget of its owner.
 * @param budget of the owner
 * @param own of the conf file
 */
export const cgroupSettings = (budget: ResourceLimits, own: ResourceLimits, counts: ProcessCounts): CgroupSettings => {
  const wide = widened(own, counts);
  const processes = wide.processes === undefined ? undefined : wide.processes + counts.otherProcesses;
  return {
    owner: groupFiles(budget),
    daemon: groupFiles({ ...wide, processes }),
    // When out of memory, the kernel kills the whole run: a part of a daemon is of no use.
    run: [["memory.oom.group", "1"], ...groupFiles({ ...UNLIMITED, processes: own.processes })],
  };
};

/** RLIMIT_DATA in relation to `memory`, where no cgroup enforces that. */
const DATA_FACTOR = 2;

/**
 * The definition with rlimits in place of limits that no cgroup enforces. RLIMIT_DATA stops a process that allocates all at
 * once, before the watch sees it; it counts memory that was allocated and never touched, hence the factor. RLIMIT_NPROC
 * counts all processes of the account. The `limit-` keys of the conf file override its own `memory` and `processes`, but
 * never exceed the budget.
 * @param overhead processes of the account that the supervisor itself has for the daemon
 */
export const withRlimits = <T extends ResourceLimits & Rlimits>(
  definition: T,
  budget: ResourceLimits,
  controllers: ReadonlySet<string>,
  overhead: number,
): T => {
  const rlimit = (file: Limit | undefined, own: number | undefined, budgeted: number | undefined): Limit | undefined =>
    lesser(file ?? both(own), both(budgeted));
  const data = (memory: number | undefined) => times(memory, DATA_FACTOR);
  const tasks = (processes: number | undefined) => (processes === undefined ? undefined : processes + overhead);
  return {
    ...definition,
    ...(!controllers.has("memory") && {
      limitData: rlimit(definition.limitData, data(definition.memory), data(budget.memory)),
    }),
    ...(!controllers.has("pids") && {
      limitNproc: rlimit(definition.limitNproc, tasks(definition.processes), tasks(budget.processes)),
    }),
  };
};

const both = (limit: number | undefined): Limit | undefined =>
  limit === undefined ? undefined : { soft: limit, hard: limit };

const lesser = (a: Limit | undefined, b: Limit | undefined): Limit | undefined =>
  a && b ? { soft: lesserAmount(a.soft, b.soft), hard: lesserAmount(a.hard, b.hard) } : (a ?? b);

const lesserAmount = (a: Amount, b: Amount): Amount => (a === "unlimited" ? b : b === "unlimited" ? a : Math.min(a, b));

/** The lesser of two limits. */
export const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);

/** A limit as a conf file writes it: `64 MiB`. */
export const writeLimit = (field: LimitField, amount: number): string => LIMIT_QUANTITIES[field].write(amount);
