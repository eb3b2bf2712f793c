/** The directories that containers get. An engine follows links when it binds a path, so each part of it must be root's. */
import { lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Account } from "../../../supervisor/src/core/policy-rules.ts";
import { asUser } from "../../../supervisor/src/os/accounts/as-user.ts";
import { codeOf } from "../../../supervisor/src/os/kernel/error-code.ts";
import { requireHome } from "../rules/container-places.ts";
import { ContainerRefusal } from "../rules/refusal.ts";
import { asSupervisor } from "./supervisor-authority.ts";

/** A directory, and what the kernel knows it by. */
export interface BoundDirectory {
  readonly path: string;
  /** Decimal numbers. */
  readonly device: string;
  readonly inode: string;
}

const facts = (path: string) => {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    throw new ContainerRefusal("refused", `${path}: cannot be looked at: ${codeOf(error)}`);
  }
};

/** Why someone besides root could put another file at this path; undefined where nobody can. */
const replaceable = (path: string): string | undefined => {
  for (let above = dirname(path); ; above = dirname(above)) {
    const stats = facts(above);
    if (!stats.isDirectory()) return `${above} is not a directory (links are not followed)`;
    if (stats.uid !== 0n) return `${above} belongs to uid ${stats.uid}, so that may replace what is in it`;
    if ((stats.mode & 0o022n) !== 0n) return `accounts besides root may write to ${above}`;
    if (above === "/") return undefined;
  }
};

/**
 * The home of a run-as account, as that account sees it.
 * @throws ContainerRefusal where it is not the account's, or another account than root could replace it by a link
 */
export const boundHome = ({ name, uid, gid, home }: Account, groups: readonly number[]): BoundDirectory => {
  requireHome(home);
  const { stats, why } = asUser({ uid, gid, groups }, () => ({ stats: facts(home), why: replaceable(home) }));
  if (!stats.isDirectory()) throw new ContainerRefusal("refused", `the home ${home} of ${name} is not a directory`);
  if (stats.uid !== BigInt(uid)) {
    const whose = `belongs to uid ${stats.uid}, and a container gets only what is ${name}'s`;
    throw new ContainerRefusal(
      "refused",
      `the home ${home} of ${name} ${whose}; chown it, or set user= to another account`,
    );
  }
  if (why !== undefined)
    throw new ContainerRefusal("refused", `the home ${home} of ${name} cannot be given to a container: ${why}`);
  return { path: home, device: String(stats.dev), inode: String(stats.ino) };
};

/**
 * The directory of a container's socket.
 * @param peer uid of the supervisor; it or root owns it
 * @throws ContainerRefusal where there is none
 */
export const boundGuest = (guests: string, guest: string, peer: number): BoundDirectory => {
  const path = join(guests, guest);
  const stats = asSupervisor(peer, () => facts(path));
  if (!stats.isDirectory()) throw new ContainerRefusal("invalid", `${path}: expected a directory`);
  if (![peer, 0].includes(Number(stats.uid)) || (stats.mode & 0o022n) !== 0n)
    throw new ContainerRefusal("invalid", `${path}: expected a directory that only the supervisor may write to`);
  return { path, device: String(stats.dev), inode: String(stats.ino) };
};
