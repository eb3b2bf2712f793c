/** Which daemon has which host, where several say that it is theirs. */
import type { Hostname } from "../core/hostname.ts";

/** A daemon that says a host is its own, and may. */
export interface Claim {
  readonly host: Hostname;
  /** `<owner>/<name>` */
  readonly id: string;
}

/** Daemon id by host. */
export type Holders = ReadonlyMap<string, string>;

/**
 * Gives every claimed host to one daemon: to the one that had it last, as long as it claims it, else to the one whose id
 * comes first. What comes out is what goes in the next time.
 */
export const settleClaims = (claims: readonly Claim[], before: Holders): Holders => {
  const claimants = new Map<Hostname, string[]>();
  for (const { host, id } of claims) {
    const others = claimants.get(host);
    if (others === undefined) claimants.set(host, [id]);
    else others.push(id);
  }
  const holders = new Map<string, string>();
  for (const [host, ids] of claimants) {
    const last = before.get(host);
    const holder = last !== undefined && ids.includes(last) ? last : ids.sort()[0];
    if (holder !== undefined) holders.set(host, holder);
  }
  return holders;
};
