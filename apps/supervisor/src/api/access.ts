/** Which daemons and files a caller may use. The table of endpoints names the level that each endpoint needs. */
import type { Access } from "@dmhost/contract/schemas";
import type { DaemonKey } from "../core/daemon-key.ts";
import { NAME } from "../core/definition.ts";
import { nearest } from "../core/suggestion.ts";
import type { Caller } from "./connection.ts";
import type { ControlledDaemon, Engine } from "./engine.ts";
import { Refusal } from "./refusal.ts";

/** The target of a request's address at this level of access. */
export type AccessSubject<A extends Access> = A extends "control"
  ? ControlledDaemon
  : A extends "author"
    ? DaemonKey
    : undefined;

/**
 * Lets a caller in, or not.
 * @param address as in the path; "" where the path has none
 * @throws Refusal
 */
export const authorize = <A extends Access>(
  access: A,
  engine: Engine,
  caller: Caller,
  address: string,
): AccessSubject<A> => {
  if (access !== "anyone") requirePolicy(engine, caller);
  if (access === "root") requireRoot(caller);
  const subject =
    access === "control"
      ? resolve(engine, caller, address)
      : access === "author"
        ? resolveFile(engine, caller, address)
        : undefined;
  return subject as AccessSubject<A>;
};

const requirePolicy = (engine: Engine, caller: Caller): void => {
  if (engine.policy.known(caller.user)) return;
  throw new Refusal(
    "not-in-policy",
    `${caller.user} is not in the policy, so may neither run nor manage daemons here\n` +
      "ask root to add you to [runs_as] in daemon-manager.conf and to run `dmctl rescan`",
  );
};

const requireRoot = (caller: Caller): void => {
  if (caller.uid === 0) return;
  throw new Refusal("not-in-policy", `only root may do this, and you are ${caller.user}`);
};

/** Every daemon that the caller may control. */
export const controllable = (engine: Engine, caller: Caller): readonly ControlledDaemon[] =>
  caller.uid === 0 ? engine.daemons() : engine.daemonsOf(engine.policy.manageable(caller.user));

/** The owners whose daemons a request may concern; undefined for all. */
export const ownersConcerned = (engine: Engine, caller: Caller, address: string): readonly string[] | undefined => {
  const [owner = "", name] = address.split("/");
  if (name !== undefined) return [owner];
  return caller.uid === 0 ? undefined : engine.policy.manageable(caller.user);
};

/** Whether the caller may control the daemons of this owner. */
export const mayControl = (engine: Engine, caller: Caller, owner: string): boolean =>
  caller.uid === 0 || engine.policy.mayManage(caller.user, owner).allowed;

/** Whether the caller may read and write the conf files of this owner. */
export const mayWrite = (engine: Engine, caller: Caller, owner: string): boolean =>
  caller.uid === 0 || engine.policy.mayWrite(caller.user, owner).allowed;

/** The nearest name, of the same owner's daemons where the address names one. */
const nearestId = (address: string, daemons: readonly ControlledDaemon[]): string | undefined => {
  const [name = "", owner] = address.split("/").reverse();
  const candidates = daemons.filter(({ key }) => owner === undefined || key.owner.name === owner);
  const near = nearest(
    name,
    candidates.map(({ key }) => key.name),
  );
  return near === undefined || owner === undefined ? near : `${owner}/${near}`;
};

/**
 * The daemon at this address: `owner/name`, or `name` where only one of the daemons that the caller may control has it.
 * @throws Refusal usage, not-found, ambiguous
 */
export const resolve = (engine: Engine, caller: Caller, address: string): ControlledDaemon => {
  const parts = address.split("/");
  if (parts.length > 2 || !parts.every((part) => NAME.test(part))) {
    throw new Refusal("usage", `${JSON.stringify(address)} is not a daemon's name; write name or owner/name`);
  }
  const all = controllable(engine, caller);
  const matches = all.filter(({ id, key }) => id === address || (parts.length === 1 && key.name === address));
  const [match] = matches;
  if (match && matches.length === 1) return match;
  if (matches.length > 1) {
    const ids = matches.map(({ id }) => id);
    throw new Refusal(
      "ambiguous",
      `${ids.length} daemons have the name "${address}"; use one of these full names:`,
      ids,
    );
  }
  // Only daemons that the caller may control are ever suggested.
  const near = nearestId(address, all);
  const meant = near === undefined ? "" : `: did you mean "${near}"?`;
  throw new Refusal(
    "not-found",
    `there is no daemon "${address}" that ${caller.user} may control${meant}\n\`dmctl list\` shows your daemons; \`dmctl rescan\` finds new files`,
  );
};

/** The daemon, or undefined where there is none and the caller may create its file. */
const resolveOrCreate = (engine: Engine, caller: Caller, address: string, owner: string) => {
  try {
    return resolve(engine, caller, address);
  } catch (error) {
    const mayCreate = mayWrite(engine, caller, owner) && engine.owner(owner) !== undefined;
    if (error instanceof Refusal && error.code === "not-found" && mayCreate) return undefined;
    throw error;
  }
};

/**
 * The conf file at this address: an existing one or a new one. Owners may use their own, root all by the full id. Managers
 * may use none: a file decides what runs as its owner, and may contain passwords (docs/decisions/0004).
 * @throws Refusal as `resolve` does; not-in-policy to a manager
 */
const resolveFile = (engine: Engine, caller: Caller, address: string): DaemonKey => {
  const [name = "", ownerName = caller.user] = address.split("/").reverse();
  const known = resolveOrCreate(engine, caller, address, ownerName);
  const key = known?.key ?? { name, owner: { name: ownerName } };
  if (known && !mayWrite(engine, caller, key.owner.name)) {
    throw new Refusal(
      "not-in-policy",
      `${caller.user} manages "${known.id}" but does not own it: only ${key.owner.name} and root may read or change its file`,
    );
  }
  // Look the account up again: the uid from when the daemon was loaded may belong to another account now.
  const owner = engine.owner(key.owner.name);
  if (owner) return { name: key.name, owner };
  throw new Refusal("not-applicable", `${key.owner.name} is not in [runs_as], so their files are not read`);
};
