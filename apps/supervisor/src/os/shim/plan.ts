/** Launch plans in the shim's terms. */
import type { LaunchPlan } from "../../launch/plan.ts";
import { encodeNumber, type Sent, TAG } from "./wire.ts";

/** Numbers of what a program gets as a descriptor (shim/plan.h). */
const DESCRIPTORS = { socket: 1, fifo: 2, input: 3 } as const;

/** Numbers of resources (setrlimit(2), on the machines that this project supports). */
export const RESOURCE = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
} as const;

const UNLIMITED = 2n ** 64n - 1n;

/** What the shim needs of a launch plan in other terms, and what each plan has. */
type Changed = "account" | "keepsCapabilities" | "socketDescriptor";
type Always = "environment" | "directory";

/** A launch plan with ids, and with names of what the shim holds. */
export interface ShimPlan extends Partial<Omit<LaunchPlan, Changed | Always>>, Pick<LaunchPlan, Always> {
  /** undefined where the shim is that account already. `keeps`: root keeps its capabilities. */
  readonly account?:
    | { readonly uid: number; readonly gid: number; readonly groups: readonly number[]; readonly keeps?: boolean }
    | undefined;
  /** What the program gets, by its descriptors; `input` is a held FIFO opened for reading. Without one, 0 to 2 are /dev/null. */
  readonly descriptors?:
    | ReadonlyMap<number, { readonly kind: keyof typeof DESCRIPTORS; readonly name: string }>
    | undefined;
  /** Signal that it gets when the shim ends. */
  readonly deathSignal?: number | undefined;
}

type Value = Sent[1];

const optional = (tag: Sent[0], value: Value | undefined): Sent[] => (value === undefined ? [] : [[tag, value]]);

const each = <T>(tag: Sent[0], values: Iterable<T>, write: (value: T) => Value): Sent[] =>
  [...values].map((value) => [tag, write(value)]);

const variable = ([name, value]: readonly [string, string]): string => `${name}=${value}`;

/** The fields of LAUNCH. */
export const planFields = (name: string, plan: ShimPlan): Sent[] => {
  const { account, lock, reader, jail } = plan;
  const amount = (value: number | "unlimited"): bigint => (value === "unlimited" ? UNLIMITED : BigInt(value));
  return [
    [TAG.NAME, name],
    ...each(TAG.WORD, plan.words ?? [], (word) => word),
    ...optional(TAG.SHELL, plan.shell),
    ...optional(TAG.START, plan.start),
    ...each(TAG.VARIABLE, plan.environment, variable),
    [TAG.DIRECTORY, plan.directory],
    ...optional(TAG.UMASK, plan.umask),
    ...optional(TAG.NICE, plan.nice),
    ...optional(TAG.CGROUP, plan.cgroup),
    ...optional(TAG.RUN_UID, account?.uid),
    ...optional(TAG.RUN_GID, account?.gid),
    ...each(TAG.GROUP, account?.groups ?? [], (group) => group),
    ...optional(TAG.KEEPS, account?.keeps),
    ...optional(TAG.LOCK, lock?.path),
    ...optional(TAG.LOCK_FD, lock?.descriptor),
    ...each(TAG.READER_WORD, reader?.words ?? [], (word) => word),
    ...each(TAG.READER_VARIABLE, reader?.environment ?? [], variable),
    ...optional(TAG.JAIL, jail?.path),
    ...optional(TAG.JAIL_OWNER, jail?.owner),
    ...each(TAG.RLIMIT, plan.limits ?? [], ({ resource, soft, hard }) =>
      Buffer.concat([encodeNumber(RESOURCE[resource]), encodeNumber(amount(soft)), encodeNumber(amount(hard))]),
    ),
    ...each(TAG.DESCRIPTOR, plan.descriptors ?? [], ([target, source]) =>
      Buffer.concat([encodeNumber(target), encodeNumber(DESCRIPTORS[source.kind]), Buffer.from(source.name)]),
    ),
    ...optional(TAG.READY_FD, plan.readyDescriptor),
    ...optional(TAG.NOTIFY, plan.notifyPath),
    ...optional(TAG.DEATH_SIGNAL, plan.deathSignal),
    ...optional(TAG.LISTEN_PID, plan.setsListenPid),
    ...optional(TAG.AGAIN, plan.again),
  ];
};
