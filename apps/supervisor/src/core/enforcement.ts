/** Who holds a daemon to its limits on this machine, and what to say where nobody does. */
import {
  ALLOWANCE_FIELDS,
  ALLOWANCE_KEYS,
  type Allowance,
  type AllowanceField,
  CONTROLLER,
  least,
  writeAllowance,
} from "./allowance.ts";

/** What this machine has to hold limits by. */
export interface Means {
  /** Controllers of cgroup v2 that the supervisor may set limits of. */
  readonly controllers: ReadonlySet<string>;
  /** Why others are missing; "" where none is. */
  readonly why: string;
  /** Why the cgroup that holds memory does not hold what is swapped out of it; undefined where it does. */
  readonly swaps?: string | undefined;
}

/** Who holds a limit. */
export type Holder = "cgroup" | "rlimit" | "rlimit+watch" | "nothing";

/** A limit of one daemon. */
export interface Held {
  /** Key of the daemon's file. */
  readonly key: string;
  /** As a file says it. */
  readonly value: string;
  /** Whether it is of the owner's budget, not of the daemon's file. */
  readonly budget: boolean;
  readonly by: Holder;
  /** Whether what runs is still held to another. */
  readonly pending: boolean;
  /** What is to be known of that; "" where it simply holds. */
  readonly note: string;
}

/** Whom the limits are about. */
export interface Subject {
  readonly own: Allowance;
  readonly budget: Allowance;
  /** What its present run was launched with; undefined where none lives, or nobody knows. */
  readonly launched: Allowance | undefined;
  /** Account that it runs as. */
  readonly user: { readonly name: string; readonly uid: number };
}

const FALLBACK: { readonly [F in AllowanceField]: Holder } = {
  memory: "rlimit+watch",
  memoryHigh: "nothing",
  processes: "rlimit",
  cpu: "nothing",
  ioWeight: "nothing",
};

const holderOf = (field: AllowanceField, means: Means, uid: number): Holder => {
  if (means.controllers.has(CONTROLLER[field])) return "cgroup";
  // The kernel does not count the processes of uid 0 (setrlimit(2): RLIMIT_NPROC).
  return field === "processes" && uid === 0 ? "nothing" : FALLBACK[field];
};

/** Whether the present run is held to another limit until it ends. */
const isPending = (field: AllowanceField, by: Holder, { own, launched }: Subject): boolean => {
  if (launched === undefined) return false;
  if (by === "rlimit") return launched[field] !== own[field];
  // The watch goes by the limit as it is; the rlimit beside it only allows less than what is allowed now.
  const unlimited = Number.POSITIVE_INFINITY;
  return by === "rlimit+watch" && (own[field] ?? unlimited) > (launched[field] ?? unlimited);
};

const noteOf = (field: AllowanceField, by: Holder, subject: Subject, { swaps }: Means): string => {
  const { name, uid } = subject.user;
  switch (by) {
    case "cgroup":
      return field === "memory" && swaps !== undefined ? `swap is not limited (${swaps})` : "";
    case "rlimit":
      return `counts every process of ${name}, whichever daemon's`;
    case "rlimit+watch":
      return "its size is looked at again and again; more than that ends it";
    case "nothing":
      return field === "processes" && uid === 0
        ? "not enforced: no rlimit counts the processes of root"
        : "not enforced";
  }
};

/** Every limit that a daemon has, its own ones and those of its owner's budget, and what becomes of it here. */
export const enforcement = (subject: Subject, means: Means): readonly Held[] =>
  ALLOWANCE_FIELDS.flatMap((field) =>
    (
      [
        [subject.own[field], false],
        [subject.budget[field], true],
      ] as const
    ).flatMap(([amount, budget]) => {
      const by = holderOf(field, means, subject.user.uid);
      const pending = !budget && isPending(field, by, subject);
      if (amount === undefined && !pending) return [];
      const value = amount === undefined ? "no limit" : writeAllowance(field, amount);
      const note = noteOf(field, by, subject, means);
      return [
        { key: ALLOWANCE_KEYS[field], value, budget, by, pending, note: pending ? `${note}; restart to apply` : note },
      ];
    }),
  );

/** The same in a word: `cgroup`, `rlimit+watch (why)`; "" where there is no limit. */
export const summary = (held: readonly Held[], { why }: Means): string => {
  if (held.length === 0) return "";
  const holders = new Set(held.flatMap(({ by }) => (by === "nothing" ? by : by.split("+"))));
  const found = ["cgroup", "rlimit", "watch", "nothing"].filter((by) => holders.has(by)).join("+");
  return found === "cgroup" ? found : `${found} (${why})`;
};

const named = ({ key, value, budget }: Held): string => `${budget ? "the owner's budget of " : ""}${key}=${value}`;

/** What the daemon's owner is to be warned of: limits that do not hold as they say. */
export const shortcomings = (held: readonly Held[], { why }: Means): readonly string[] =>
  held
    .filter(({ by }) => by === "nothing" || by === "rlimit")
    .map((limit) =>
      limit.by === "nothing"
        ? `${named(limit)} is ${limit.note}: ${why}`
        : `${named(limit)} ${limit.note}, for it is held by an rlimit: ${why}`,
    );

/** Why a daemon is not to be started with `strict-limits=yes`; undefined where every limit holds. */
export const strictObjection = (held: readonly Held[], { why }: Means): string | undefined => {
  const loose = held.find(({ by }) => by !== "cgroup");
  return loose && `${named(loose)} cannot be held by a cgroup here, and strict-limits=yes: ${why}`;
};

/** The limit that counts where memory runs out: the lesser of the daemon's and its owner's. In bytes. */
export const memoryLimit = (own: Allowance, budget: Allowance): number | undefined => least(own.memory, budget.memory);
