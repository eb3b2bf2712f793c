/** Limits that the kernel enforces for one process (setrlimit(2)). */
import { count, duration, KIB, MIB, type Quantity, SECOND, size } from "./units.ts";

/** Bytes, a number or seconds, by the resource. */
export type Amount = number | "unlimited";

/** The limit in force, and the one up to which the process may raise it. */
export interface Limit {
  readonly soft: Amount;
  readonly hard: Amount;
}

interface Resource {
  /** Option of prlimit(1), without its dashes. */
  readonly option: string;
  /** One amount, as a conf file writes it. */
  readonly quantity: Quantity;
  /** The limited resource, with softlimit's letter. */
  readonly of: string;
}

/** Whole seconds: the kernel takes no part of one. */
const SECONDS: Quantity = (() => {
  const time = duration({ least: SECOND, most: Number.MAX_SAFE_INTEGER });
  return {
    ...time,
    least: 1,
    most: Math.floor(time.most / SECOND),
    expected: "a duration in whole seconds of at least 1s, such as 10s or 1m30s",
    read: (text) => {
      const milliseconds = time.read(text) ?? Number.NaN;
      return milliseconds % SECOND === 0 ? milliseconds / SECOND : undefined;
    },
    write: (seconds) => time.write(seconds * SECOND),
  };
})();

/** No program starts with less data or stack than the least amount. */
export const RESOURCES = {
  limitData: {
    option: "data",
    quantity: size({ least: 256 * KIB }),
    of: "Data segment: heap and private memory [-d]",
  },
  limitStack: { option: "stack", quantity: size({ least: 64 * KIB }), of: "Stack [-s]" },
  limitLock: { option: "memlock", quantity: size(), of: "Memory locked against paging [-l]" },
  limitAs: { option: "as", quantity: size({ least: MIB }), of: "Address space [-a]" },
  limitNofile: { option: "nofile", quantity: count(), of: "Open descriptors [-o]" },
  limitNproc: {
    option: "nproc",
    quantity: count(),
    of: "Processes and threads of the account it runs as, all of them [-p]",
  },
  limitFsize: { option: "fsize", quantity: size(), of: "Size of a file that it writes [-f]" },
  limitCore: { option: "core", quantity: size(), of: "Size of a core dump [-c]" },
  limitRss: { option: "rss", quantity: size(), of: "Resident memory; Linux accepts this limit and ignores it [-r]" },
  limitCpu: { option: "cpu", quantity: SECONDS, of: "Processor time [-t]" },
} as const satisfies Record<string, Resource>;

/** Fields of Definition that hold a limit. */
export type RlimitField = keyof typeof RESOURCES;

const RLIMIT_FIELDS = Object.keys(RESOURCES) as readonly RlimitField[];

/** Limits of a daemon; undefined is the supervisor's own limit. */
export type Rlimits = { readonly [F in RlimitField]: Limit | undefined };

export const NO_RLIMITS: Rlimits = {
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

/** A limit by the kernel's name of its resource, as prlimit(1) writes that. */
export interface Rlimit extends Limit {
  readonly resource: (typeof RESOURCES)[RlimitField]["option"];
}

/** The limits that are set, in the order of RESOURCES. */
export const rlimitsOf = (limits: Rlimits): Rlimit[] =>
  RLIMIT_FIELDS.flatMap((field) => {
    const limit = limits[field];
    return limit === undefined ? [] : [{ resource: RESOURCES[field].option, ...limit }];
  });
