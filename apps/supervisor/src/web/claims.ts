/** Which daemon holds which host when several claim it. */
import type { Hostname } from "../core/hostname.ts";

/** A claim that the policy grants. */
export interface Claim {
  readonly host: Hostname;
  /** `<owner>/<name>` */
  readonly id: string;
}

/** Daemon id by host. */
export type Holders = ReadonlyMap<string, string>;

/**
 * Gives every claimed host to one daemon: to its previous holder while that claims it, else to the first id in order. The result
 * is `before` of the next call.
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
