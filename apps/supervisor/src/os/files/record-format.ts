/**
 * The format of records. Each release reads the formats of all earlier ones: who changes the shape increases FORMAT, adds
 * the upgrade from the format before, and keeps files of the new one in kept-records/. A new field that may be missing needs none:
 * earlier releases pass over it.
 */

import { hash } from "node:crypto";
import { initial } from "../../core/lifecycle.ts";
import type { InstanceRecord } from "../../engine/ports/records.ts";
import { isBoolean, isCount, object, oneOf, optional } from "./shape.ts";

export const FORMAT = 5;

/**
 * What every release reads of a record, whatever its format: these fields keep their names and their meaning. It is the field
 * `desired` beside `format` and `epoch`.
 */
interface Desired {
  readonly state: "up" | "down";
  readonly exited?: boolean | undefined;
  readonly scale?: number | undefined;
  readonly size: number;
}

const isDesired = object<Desired>({
  state: oneOf({ up: true, down: true }),
  exited: optional(isBoolean),
  scale: optional(isCount),
  size: isCount,
});

const digestOf = ({ state, exited, scale, size }: Desired): string =>
  hash("sha256", JSON.stringify([state, exited, scale, size]), "base64");

/** This part of a record, as JSON; undefined where the instance is not to stay. */
export const desiredText = ({ state, exited, scale, size, role }: InstanceRecord): string | undefined => {
  if (role !== "active") return undefined;
  const desired: Desired = { state: state.want, exited, scale, size };
  return JSON.stringify({ ...desired, digest: digestOf(desired) });
};

/** A record by this part alone; undefined where it is damaged, or missing. */
export const recordOfDesired = (value: unknown): InstanceRecord | undefined => {
  if (!isDesired(value) || Reflect.get(value, "digest") !== digestOf(value)) return undefined;
  const { state, exited, scale, size } = value;
  return {
    state: { ...initial, want: state },
    fingerprint: "",
    exited,
    foreign: state,
    scale,
    size,
    role: "active",
    run: undefined,
    log: undefined,
  };
};

/** What is wrong with a record of a format that this release does not read. */
export const describeFormat = (format: unknown, desired: InstanceRecord | undefined): string =>
  `has the format ${format} of another release, not ${FORMAT}` +
  (desired ? ": only its desired state and number of instances count" : "");

type Values = Readonly<Record<string, unknown>>;

const valuesOf = (value: unknown): Values => (typeof value === "object" && value !== null ? (value as Values) : {});

/** The same values by their present names. */
const renamed = (value: unknown, names: Readonly<Record<string, string>>): Values =>
  Object.fromEntries(Object.entries(valuesOf(value)).map(([name, each]) => [names[name] ?? name, each]));

const word = (value: unknown, words: Readonly<Record<string, string>>): unknown => words[String(value)] ?? value;

const exitOf = (value: unknown): Values => {
  const { how, cause, ...exit } = valuesOf(value);
  const words = { memory: "out-of-memory", files: "too-many-files", launch: "launch-failed", unready: "not-ready" };
  return { ...exit, how: word(how, words), cause: word(cause, words) };
};

/** Each makes a value of the next format. It tolerates any value: the result is checked. */
const UPGRADES: Readonly<Record<number, (value: unknown) => unknown>> = {
  // Release 0.1.0. Formats below 4 were never released.
  4: (value) => {
    const { state, role, traces, dropped, ...rest } = valuesOf(value);
    const { leader, cgroup, socket, logger, loggerSignature, ...trace } = valuesOf(traces);
    const present = renamed(state, {
      bar: "block",
      asked: "stopRequested",
      easing: "draining",
      dozing: "goingToSleep",
      rationed: "throttled",
    });
    const last = present["last"] && { ...valuesOf(present["last"]), exit: exitOf(valuesOf(present["last"])["exit"]) };
    return {
      ...rest,
      state: { ...present, last },
      role: word(role, { lasting: "active", fresh: "candidate", surplus: "retiring" }),
      run: leader && { leader, cgroup, socketFile: socket },
      log: { logger, signature: loggerSignature, dropped: trace["dropped"] ?? dropped ?? 0 },
    };
  },
};

/** Makes a value of this format one of the present format; undefined where no release up to this one has written it. */
export const upgradeFrom = (format: unknown): ((value: unknown) => unknown) | undefined => {
  if (format === FORMAT) return (value) => value;
  const upgrade = typeof format === "number" ? UPGRADES[format] : undefined;
  const rest = upgrade && upgradeFrom(Number(format) + 1);
  return rest && ((value) => rest(upgrade(value)));
};
