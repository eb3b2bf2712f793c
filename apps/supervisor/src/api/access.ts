/** Who calls, and which daemons that lets them touch. Unknown and forbidden answer alike. */
import type { Socket } from "node:net";
import { NAME } from "../core/definition.ts";
import { nearest } from "../core/suggestion.ts";
import type { Daemon } from "../engine/daemon.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import { Refusal } from "./problem.ts";

/** A caller, by the kernel's word. */
export interface Caller {
  readonly uid: number;
  /** Account of that uid, as it is now. */
  readonly user: string;
}

const callers = new WeakMap<Socket, Caller>();

/** A request must have come whole within this time of the connection, or of the answer before it. In ms. */
const LONGEST_REQUEST = 15_000;
const patience = new WeakMap<Socket, number>();
const deadlines = new WeakMap<Socket, NodeJS.Timeout>();

/** Ends a connection whose next request does not come whole in time. */
export const awaitRequest = (socket: Socket): void => {
  clearTimeout(deadlines.get(socket));
  deadlines.set(
    socket,
    setTimeout(() => socket.destroy(), patience.get(socket) ?? LONGEST_REQUEST),
  );
};

/** A request has come whole, or the connection has ended: what follows takes the time it takes. */
export const requestCame = (socket: Socket): void => clearTimeout(deadlines.get(socket));

/**
 * Remembers who is at the other end of a connection, for as long as it lasts.
 * @param longestRequest ms within which each request must have come whole
 */
export const attachCaller = (socket: Socket, caller: Caller, longestRequest = LONGEST_REQUEST): void => {
  callers.set(socket, caller);
  patience.set(socket, longestRequest);
  awaitRequest(socket);
  socket.once("close", () => requestCame(socket));
};

/** Who is at the other end. */
export const callerOf = (socket: Socket): Caller => {
  const caller = callers.get(socket);
  if (!caller) throw new Refusal("internal", "this connection has no caller");
  return caller;
};

/** Refuses a caller whom the policy does not name. */
export const requirePolicy = (supervisor: Supervisor, caller: Caller): void => {
  if (supervisor.policy.known(caller.user)) return;
  throw new Refusal(
    "not-in-policy",
    `${caller.user} is not in the policy, so may neither run nor manage daemons here.\n` +
      "Ask root to add you to [runs_as] in daemon-manager.conf and to run `dmctl rescan`.",
  );
};

/** Every daemon that the caller may control. */
export const controllable = (supervisor: Supervisor, caller: Caller): Daemon[] =>
  caller.uid === 0 ? supervisor.daemons() : supervisor.daemonsOf(supervisor.policy.manageable(caller.user));

/** Whether the caller may control this owner's daemons. */
export const mayControl = (supervisor: Supervisor, caller: Caller, owner: string): boolean =>
  caller.uid === 0 || supervisor.policy.mayManage(caller.user, owner).allowed;

/** What an address is probably a misspelling of: of a name, and then of the same owner's where it names one. */
const nearestId = (address: string, daemons: readonly Daemon[]): string | undefined => {
  const [name = "", owner] = address.split("/").reverse();
  const candidates = daemons.filter(({ key }) => owner === undefined || key.owner.name === owner);
  const near = nearest(
    name,
    candidates.map(({ key }) => key.name),
  );
  return near === undefined || owner === undefined ? near : `${owner}/${near}`;
};

/**
 * The one daemon that `address` means to this caller: `owner/name`, or `name` where it is the only one.
 * @throws Refusal usage, not-found, ambiguous
 */
export const resolve = (supervisor: Supervisor, caller: Caller, address: string): Daemon => {
  const parts = address.split("/");
  if (parts.length > 2 || !parts.every((part) => NAME.test(part))) {
    throw new Refusal("usage", `${JSON.stringify(address)} is no daemon's name; write name or owner/name.`);
  }
  const all = controllable(supervisor, caller);
  const matches = all.filter(({ id, key }) => id === address || (parts.length === 1 && key.name === address));
  const [match] = matches;
  if (match && matches.length === 1) return match;
  if (matches.length > 1) {
    const ids = matches.map(({ id }) => id);
    throw new Refusal("ambiguous", `${ids.length} daemons are called "${address}"; write one of them in full:`, ids);
  }
  // Only what the caller may control is ever suggested.
  const near = nearestId(address, all);
  const meant = near === undefined ? "" : ` Did you mean "${near}"?`;
  throw new Refusal(
    "not-found",
    `There is no daemon "${address}" that ${caller.user} may control.${meant}\n\`dmctl list\` names those there are; \`dmctl rescan\` looks for new files.`,
  );
};

/** Refuses everybody but root. */
export const requireRoot = (caller: Caller): void => {
  if (caller.uid === 0) return;
  throw new Refusal("not-in-policy", `Only root may see the whole state, and you are ${caller.user}.`);
};

/** Whether the caller may read and write the files of this owner's daemons. */
export const mayWrite = (supervisor: Supervisor, caller: Caller, owner: string): boolean =>
  caller.uid === 0 || supervisor.policy.mayWrite(caller.user, owner).allowed;

/**
 * Refuses one who only manages the daemon: whoever writes its file decides what runs as its owner, and managing does
 * not grant that (docs/decisions/0004); whoever reads it may find passwords.
 */
export const requireAuthor = (supervisor: Supervisor, caller: Caller, daemon: Daemon): void => {
  if (mayWrite(supervisor, caller, daemon.key.owner.name)) return;
  throw new Refusal(
    "not-in-policy",
    `${caller.user} manages "${daemon.id}" but does not own it: only ${daemon.key.owner.name} and root may read or change its file.`,
  );
};
