/** What a daemon, or all daemons of an owner, may use of the machine together, and how a kernel with cgroups is told so. */
import type { Amount, Limit, Limits } from "./resource-limit.ts";

/** How far; undefined is as far as the machine goes. */
export interface Allowance {
  /** Bytes; more is the end of the run. */
  readonly memory: number | undefined;
  /** Bytes; more is taken back, which slows it down. */
  readonly memoryHigh: number | undefined;
  /** Processes and threads. */
  readonly processes: number | undefined;
  /** Processors; 0.5 is half of one's time. */
  readonly cpu: number | undefined;
  /** 1 to 10000, of disks that are busy; undefined is as everybody, 100. */
  readonly ioWeight: number | undefined;
}

export const BOUNDLESS: Allowance = {
  memory: undefined,
  memoryHigh: undefined,
  processes: undefined,
  cpu: undefined,
  ioWeight: undefined,
};

export type AllowanceField = keyof Allowance;

/** The keys of a file, by field. */
export const ALLOWANCE_KEYS: { readonly [F in AllowanceField]: string } = {
  memory: "memory",
  memoryHigh: "memory-high",
  processes: "processes",
  cpu: "cpu",
  ioWeight: "io-weight",
};

export const ALLOWANCE_FIELDS = Object.keys(ALLOWANCE_KEYS) as readonly AllowanceField[];

/** The controller of cgroup v2 that holds a limit. */
export const CONTROLLER: { readonly [F in AllowanceField]: string } = {
  memory: "memory",
  memoryHigh: "memory",
  processes: "pids",
  cpu: "cpu",
  ioWeight: "io",
};

/** Every controller that limits take. */
export const CONTROLLERS: readonly string[] = [...new Set(Object.values(CONTROLLER))];

/** The part of a definition that is its allowance. */
export const allowanceOf = ({ memory, memoryHigh, processes, cpu, ioWeight }: Allowance): Allowance => ({
  memory,
  memoryHigh,
  processes,
  cpu,
  ioWeight,
});

export const isBoundless = (allowance: Allowance): boolean =>
  ALLOWANCE_FIELDS.every((field) => allowance[field] === undefined);

/** A file of a cgroup and what is to be in it. */
export type GroupFile = readonly [file: string, text: string];

/** The period over which a processor's time is counted (cgroup-v2: cpu.max), in microseconds. */
const PERIOD = 100_000;
/** The least share of it that the kernel takes. */
const LEAST_QUOTA = 1_000;

/** What is to be in a group's files, for every limit, also where there is none: it may have been another before. */
const groupFiles = ({ memory, memoryHigh, processes, cpu, ioWeight }: Allowance): readonly GroupFile[] => [
  // What may not be swapped out cannot hide there from its limit, nor slow everybody down.
  ["memory.swap.max", memory === undefined ? "max" : "0"],
  ["memory.high", `${memoryHigh ?? "max"}`],
  ["memory.max", `${memory ?? "max"}`],
  ["pids.max", `${processes ?? "max"}`],
  ["cpu.max", `${cpu === undefined ? "max" : Math.max(Math.round(cpu * PERIOD), LEAST_QUOTA)} ${PERIOD}`],
  ["io.weight", `default ${ioWeight ?? 100}`],
];

/** What the three levels of the tree are told (`<owner>/<daemon>.d/<run>`). */
export interface Allotment {
  readonly owner: readonly GroupFile[];
  readonly daemon: readonly GroupFile[];
  readonly run: readonly GroupFile[];
}

/** Processes that a log/run may have besides those of its daemon. */
export const ATTENDANTS = 4;

/** How many of its processes' trees there are at a time. */
export interface Crowd {
  /** Runs that live, or are just to begin. */
  readonly runs: number;
  /** Runs that it is to have (`instances=`). */
  readonly size: number;
  /** Processes that are there for it: launches that stand by, one process each, and a log/run. */
  readonly spares: number;
}

const times = (amount: number | undefined, factor: number): number | undefined =>
  amount === undefined ? undefined : Math.ceil(amount * factor);

/**
 * While a rolling restart has a new process beside the one that it replaces, its daemon has that much more room: by
 * what it may have for each of its instances.
 */
export const widened = (allowance: Allowance, { runs, size }: Pick<Crowd, "runs" | "size">): Allowance => {
  const factor = Math.max(1, runs / Math.max(1, size));
  return {
    ...allowance,
    memory: times(allowance.memory, factor),
    memoryHigh: times(allowance.memoryHigh, factor),
    processes: times(allowance.processes, factor),
    ...(allowance.cpu !== undefined && { cpu: allowance.cpu * factor }),
  };
};

/**
 * The limits of a daemon within those of its owner.
 * @param budget of the owner
 * @param own of the daemon's file
 */
export const allot = (budget: Allowance, own: Allowance, crowd: Crowd): Allotment => {
  const wide = widened(own, crowd);
  const processes = wide.processes === undefined ? undefined : wide.processes + crowd.spares;
  return {
    owner: groupFiles(budget),
    daemon: groupFiles({ ...wide, processes }),
    // Where memory runs out, the run ends as a whole: half a daemon is none.
    run: [["memory.oom.group", "1"], ...groupFiles({ ...BOUNDLESS, processes: own.processes })],
  };
};

/** How much more of its data segment than of memory a process may have, where rlimits must do. */
const DATA_FACTOR = 2;

/**
 * The definition with rlimits in place of what no cgroup holds. RLIMIT_DATA keeps a process that takes all at once from
 * what a look at its size would come too late for; it counts memory that was asked for and never touched, hence the
 * factor. RLIMIT_NPROC counts all processes of the account. The file's own `limit-` keys stand in for what its own
 * limits come to; of them and what the budget comes to the lesser counts.
 * @param overhead processes of the account that the supervisor itself has for the daemon
 */
export const withRlimits = <T extends Allowance & Limits>(
  definition: T,
  budget: Allowance,
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

/** `64M` for 67108864: with the largest suffix that leaves a whole number. */
export const writeBytes = (bytes: number): string => {
  const [, suffix, unit] = [[1024 ** 3, "G"] as const, [1024 ** 2, "M"] as const, [1024, "K"] as const]
    .map(([unit, suffix]) => [bytes % unit, suffix, unit] as const)
    .find(([rest]) => rest === 0 && bytes > 0) ?? [0, "", 1];
  return `${bytes / unit}${suffix}`;
};

/** A limit as a file says it. */
export const writeAllowance = (field: AllowanceField, amount: number): string =>
  field === "memory" || field === "memoryHigh" ? writeBytes(amount) : String(amount);

/** `63.9 MiB`, for what was measured. */
export const roughBytes = (bytes: number): string =>
  bytes < 1024 ** 2 ? `${Math.round(bytes / 1024)} KiB` : `${Math.round((bytes / 1024 ** 2) * 10) / 10} MiB`;
