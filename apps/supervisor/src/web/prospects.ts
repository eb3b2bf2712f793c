/** What each daemon may publish: by policy, by the number of hosts, and by who claimed a host first. */
import type { Hostname } from "../core/hostname.ts";
import type { Policy } from "../core/policy.ts";
import type { Site } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { type Claim, type Holders, settleClaims } from "./claims.ts";
import type { Sited } from "./sited.ts";

/** Hosts of one owner at most: each takes the web server two open files. */
export const MOST_HOSTS = 256;

/** A daemon with hosts. */
export interface Prospect {
  readonly daemon: Sited;
  readonly hosts: readonly Hostname[];
  /** With all of its hosts; undefined where there can be no site at the moment. */
  readonly site: Site | undefined;
  /** Why a host must not be published. */
  readonly refused: Map<Hostname, string>;
  /** Hosts that it takes or keeps: a host whose holder has trouble goes to no other daemon. */
  readonly claimed: Set<Hostname>;
}

export interface Former {
  readonly holders: Holders;
  /** By daemon id. These count while a daemon has no valid file. */
  readonly sites: ReadonlyMap<string, Site>;
}

/** The hosts of one daemon as far as they do not depend on others. @param siteOf the site, or why there is none */
const prospectOf = (
  daemon: Sited,
  policy: Pick<Policy, "mayHost">,
  { holders, sites }: Former,
  siteOf: (daemon: Sited, terms: Terms) => Site | string,
): Prospect | undefined => {
  const { id, key, serving: terms, state } = daemon;
  const former = terms ? undefined : sites.get(id);
  const hosts = terms?.definition.host ?? former?.hosts ?? [];
  if (hosts.length === 0) return undefined;
  const refused = new Map<Hostname, string>();
  const claimed = new Set(hosts);
  const owner = key.owner.name;
  for (const host of hosts) {
    const { allowed, because } = policy.mayHost(owner, host);
    if (allowed) continue;
    refused.set(host, `host ${host} is not granted to ${owner}: ${because}; root grants it in [hosts]`);
    claimed.delete(host);
  }
  const site = former ?? (terms && siteOf(daemon, terms));
  const why = state.block?.kind === "forbidden" ? state.block.reason : typeof site === "string" ? site : undefined;
  if (why !== undefined) {
    for (const host of hosts) {
      refused.set(host, refused.get(host) ?? `host ${host}: ${why}`);
      if (holders.get(host) !== id) claimed.delete(host);
    }
  }
  return { daemon, hosts, site: typeof site === "string" ? undefined : site, refused, claimed };
};

/** Refuses the hosts of an owner beyond the most that one may have. */
const capOwners = (prospects: readonly Prospect[]): void => {
  const counts = new Map<string, number>();
  for (const { daemon, refused, claimed } of prospects) {
    const owner = daemon.key.owner.name;
    for (const host of claimed) {
      const count = (counts.get(owner) ?? 0) + 1;
      counts.set(owner, count);
      if (count <= MOST_HOSTS) continue;
      refused.set(host, refused.get(host) ?? `host ${host}: ${owner} has ${MOST_HOSTS} published hosts already`);
      claimed.delete(host);
    }
  }
};

/** Leaves every host to one daemon; gives who holds which. */
const settleHosts = (prospects: readonly Prospect[], before: Holders): Holders => {
  const claims: Claim[] = prospects.flatMap(({ daemon, claimed }) =>
    [...claimed].map((host) => ({ host, id: daemon.id })),
  );
  const holders = settleClaims(claims, before);
  for (const { daemon, hosts, refused } of prospects) {
    for (const host of hosts) {
      const holder = holders.get(host) ?? daemon.id;
      if (refused.has(host) || holder === daemon.id) continue;
      // No owner learns what daemons another has.
      const by = holder.startsWith(`${daemon.key.owner.name}/`) ? `"${holder}"` : "a daemon of another owner";
      refused.set(host, `host ${host} is held by ${by}, which had it first`);
    }
  }
  return holders;
};

/** All daemons that have hosts, and who holds each of these. */
export const prospectsOf = (
  daemons: readonly Sited[],
  policy: Pick<Policy, "mayHost">,
  former: Former,
  siteOf: (daemon: Sited, terms: Terms) => Site | string,
): { readonly prospects: readonly Prospect[]; readonly holders: Holders } => {
  const prospects = daemons.flatMap((daemon) => prospectOf(daemon, policy, former, siteOf) ?? []);
  capOwners(prospects);
  return { prospects, holders: settleHosts(prospects, former.holders) };
};
