/** What enforces a daemon's limits on this machine, and the warning where nothing does. */
import {
  CONTROLLER,
  LIMIT_FIELDS,
  LIMIT_KEYS,
  type LimitField,
  type ResourceLimits,
  writeLimit,
} from "./resource-limits.ts";

/** What enforces limits on this machine. */
export interface Means {
  /** Controllers of cgroup v2 that the supervisor may set limits of. */
  readonly controllers: ReadonlySet<string>;
  /** Why other controllers are missing; "" where none is. */
  readonly why: string;
  /** Why cgroups do not limit swap; undefined where they do. */
  readonly swaps?: string | undefined;
}

/** What enforces a limit. */
type Enforcer = "cgroup" | "engine" | "rlimit" | "rlimit+watch" | "nothing";

/** A limit of one daemon. */
export interface EnforcedLimit {
  /** Key of the daemon's file. */
  readonly key: string;
  /** As written in a conf file. */
  readonly value: string;
  /** Whether it comes from the owner's budget, not from the daemon's file. */
  readonly budget: boolean;
  readonly by: Enforcer;
  /** Whether the present run still has another limit. */
  readonly pending: boolean;
  /** A remark; "" where there is nothing to add. */
  readonly note: string;
}

/** The daemon that the limits apply to. */
export interface LimitSubject {
  readonly own: ResourceLimits;
  readonly budget: ResourceLimits;
  /** Limits that its present run was launched with; undefined where none lives, or that is unknown. */
  readonly launched: ResourceLimits | undefined;
  /** Whether it runs in a container. */
  readonly contained: boolean;
  /** Run-as account. */
  readonly user: { readonly name: string; readonly uid: number };
}

const FALLBACK: { readonly [F in LimitField]: Enforcer } = {
  memory: "rlimit+watch",
  memoryHigh: "nothing",
  processes: "rlimit",
  cpu: "nothing",
  ioWeight: "nothing",
};

/** Limits that an engine enforces for each container, within the owner's budget. */
const OF_ENGINES: ReadonlySet<LimitField> = new Set(["memory", "processes", "cpu"]);

const enforcerOf = (field: LimitField, budget: boolean, means: Means, { user, contained }: LimitSubject): Enforcer => {
  const { uid } = user;
  if (means.controllers.has(CONTROLLER[field])) return "cgroup";
  if (contained && !budget && OF_ENGINES.has(field)) return "engine";
  // The kernel does not count the processes of uid 0 (setrlimit(2): RLIMIT_NPROC).
  return field === "processes" && uid === 0 ? "nothing" : FALLBACK[field];
};

/** Whether the present run has another limit until it ends. */
const isPending = (field: LimitField, by: Enforcer, { own, launched }: LimitSubject): boolean => {
  if (launched === undefined) return false;
  if (by === "rlimit" || by === "engine") return launched[field] !== own[field];
  // The watch uses the current limit; until the next run the rlimit beside it may be lower.
  const unlimited = Number.POSITIVE_INFINITY;
  return by === "rlimit+watch" && (own[field] ?? unlimited) > (launched[field] ?? unlimited);
};

const noteOf = (field: LimitField, by: Enforcer, subject: LimitSubject, { swaps }: Means): string => {
  const { name, uid } = subject.user;
  switch (by) {
    case "cgroup":
      return field === "memory" && swaps !== undefined ? `swap is not limited (${swaps})` : "";
    case "engine":
      return "for each container";
    case "rlimit":
      return `counts all processes of ${name}, of every daemon`;
    case "rlimit+watch":
      return "sampled by the supervisor; a run above it is killed";
    case "nothing":
      return field === "processes" && uid === 0
        ? "not enforced: no rlimit counts the processes of root"
        : "not enforced";
  }
};

/** Every limit of a daemon, its own and those of its owner's budget, and what enforces it here. */
export const enforcement = (subject: LimitSubject, means: Means): readonly EnforcedLimit[] =>
  LIMIT_FIELDS.flatMap((field) =>
    (
      [
        [subject.own[field], false],
        [subject.budget[field], true],
      ] as const
    ).flatMap(([amount, budget]) => {
      const by = enforcerOf(field, budget, means, subject);
      const pending = !budget && isPending(field, by, subject);
      if (amount === undefined && !pending) return [];
      const value = amount === undefined ? "no limit" : writeLimit(field, amount);
      const note = noteOf(field, by, subject, means);
      return [
        { key: LIMIT_KEYS[field], value, budget, by, pending, note: pending ? `${note}; restart to apply` : note },
      ];
    }),
  );

/** Summary of all limits: `cgroup`, `rlimit+watch (why)`; "" where there is no limit. */
export const summary = (held: readonly EnforcedLimit[], { why }: Means): string => {
  if (held.length === 0) return "";
  const holders = new Set(held.flatMap(({ by }) => (by === "nothing" ? by : by.split("+"))));
  const found = ["cgroup", "engine", "rlimit", "watch", "nothing"].filter((by) => holders.has(by)).join("+");
  return found === "cgroup" ? found : `${found} (${why})`;
};

const named = ({ key, value, budget }: EnforcedLimit): string =>
  `${budget ? "the owner's budget of " : ""}${key}=${value}`;

/** Warnings for the owner: limits that are not enforced as written. */
export const shortcomings = (held: readonly EnforcedLimit[], { why }: Means): readonly string[] =>
  held
    .filter(({ by }) => by === "nothing" || by === "rlimit")
    .map((limit) =>
      limit.by === "nothing"
        ? `${named(limit)} is ${limit.note}: ${why}`
        : `${named(limit)} ${limit.note}, because an rlimit enforces it: ${why}`,
    );

/** Why `strict-limits=yes` forbids a daemon; undefined where cgroups, ours or an engine's, enforce every limit. */
export const strictObjection = (held: readonly EnforcedLimit[], { why }: Means): string | undefined => {
  const loose = held.find(({ by }) => by !== "cgroup" && by !== "engine");
  return loose && `no cgroup can enforce ${named(loose)} here, and strict-limits=yes: ${why}`;
};
