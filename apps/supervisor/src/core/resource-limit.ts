/** The limits that the kernel keeps of a process (setrlimit(2)); softlimit's letters in brackets. */

/** In the resource's own unit. */
export type Amount = number | "unlimited";

/** What a process is held to, and up to where it may raise that itself. */
export interface Limit {
  readonly soft: Amount;
  readonly hard: Amount;
}

/** What an amount of a resource is counted in. */
export type Unit = "bytes" | "number" | "seconds";

interface Resource {
  /** Option of prlimit(1), without its dashes. */
  readonly option: string;
  readonly unit: Unit;
  /** What is limited, in words. */
  readonly of: string;
  /** What no program starts with less than; 0 where it is not given. */
  readonly least?: number;
}

/** Every resource that a daemon's file can limit, by the field of Definition that says how far. */
export const RESOURCES = {
  limitData: { option: "data", unit: "bytes", of: "Data segment: heap and private memory [-d]", least: 256 << 10 },
  limitStack: { option: "stack", unit: "bytes", of: "Stack [-s]", least: 64 << 10 },
  limitLock: { option: "memlock", unit: "bytes", of: "Memory locked against paging [-l]" },
  limitAs: { option: "as", unit: "bytes", of: "Address space [-a]", least: 1 << 20 },
  limitNofile: { option: "nofile", unit: "number", of: "Open descriptors [-o]" },
  limitNproc: {
    option: "nproc",
    unit: "number",
    of: "Processes and threads of the account it runs as, all of them [-p]",
  },
  limitFsize: { option: "fsize", unit: "bytes", of: "Size of a file that it writes [-f]" },
  limitCore: { option: "core", unit: "bytes", of: "Size of a core dump [-c]" },
  limitRss: { option: "rss", unit: "bytes", of: "Resident memory, which Linux takes and does not enforce [-r]" },
  limitCpu: { option: "cpu", unit: "seconds", of: "Processor time [-t]", least: 1 },
} as const satisfies Record<string, Resource>;

/** What of a resource no program starts with less than. */
export const leastOf = (field: LimitField): number => (RESOURCES[field] as Resource).least ?? 0;

/** Fields of Definition that hold a limit. */
export type LimitField = keyof typeof RESOURCES;

export const LIMIT_FIELDS = Object.keys(RESOURCES) as readonly LimitField[];

/** The limits of a daemon; undefined is the supervisor's own. */
export type Limits = { readonly [F in LimitField]: Limit | undefined };

export const NO_LIMITS: Limits = {
  limitData: undefined,
  limitStack: undefined,
  limitLock: undefined,
  limitAs: undefined,
  limitNofile: undefined,
  limitNproc: undefined,
  limitFsize: undefined,
  limitCore: undefined,
  limitRss: undefined,
  limitCpu: undefined,
};

/** Options of prlimit(1) that set these limits. */
export const prlimitOptions = (limits: Limits): string[] =>
  LIMIT_FIELDS.flatMap((field) => {
    const limit = limits[field];
    return limit === undefined ? [] : [`--${RESOURCES[field].option}=${limit.soft}:${limit.hard}`];
  });
