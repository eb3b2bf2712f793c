/** Which hosts each daemon may publish: by policy, by number, and by order of claims. */
import type { Hostname } from "../core/hostname.ts";
import type { Policy } from "../core/policy.ts";
import type { Site } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { type Claim, type Holders, settleClaims } from "./claims.ts";
import type { SiteDaemon } from "./site-daemon.ts";

/** Maximum number of hosts of an owner: Nginx opens two log files for each. */
export const MOST_HOSTS = 256;

/** The hosts that a daemon requests, and what the policy and other daemons permit of them. */
export interface SiteRequest {
  readonly daemon: SiteDaemon;
  readonly hosts: readonly Hostname[];
  /** With all of its hosts; undefined while there can be no site. */
  readonly site: Site | undefined;
  /** Why a host must not be published. */
  readonly refused: Map<Hostname, string>;
  /** Hosts that it claims. A holder whose site has a problem keeps its claim, so that no other daemon gets the host. */
  readonly claimed: Set<Hostname>;
}

/** The result of the previous review. */
export interface PreviousSites {
  readonly holders: Holders;
  /** By daemon id. Used while a daemon has no valid conf file. */
  readonly sites: ReadonlyMap<string, Site>;
}

/** The hosts of one daemon as far as they do not depend on others; undefined where it has none. @param siteOf the site, or why there is none */
export const siteRequestOf = (
  daemon: SiteDaemon,
  policy: Pick<Policy, "mayHost">,
  { holders, sites }: PreviousSites,
  siteOf: (daemon: SiteDaemon, terms: Terms) => Site | string,
): SiteRequest | undefined => {
  const { id, key, serving: terms, state } = daemon;
  const previous = terms ? undefined : sites.get(id);
  const hosts = terms?.definition.host ?? previous?.hosts ?? [];
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
  const site = previous ?? (terms && siteOf(daemon, terms));
  const why = state.block?.kind === "forbidden" ? state.block.reason : typeof site === "string" ? site : undefined;
  if (why !== undefined) {
    for (const host of hosts) {
      refused.set(host, refused.get(host) ?? `host ${host}: ${why}`);
      if (holders.get(host) !== id) claimed.delete(host);
    }
  }
  return { daemon, hosts, site: typeof site === "string" ? undefined : site, refused, claimed };
};

/** Refuses the hosts of an owner beyond the maximum. */
const capOwners = (requests: readonly SiteRequest[]): void => {
  const counts = new Map<string, number>();
  for (const { daemon, refused, claimed } of requests) {
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

/** Gives every host to one daemon; returns the holders. */
const settleHosts = (requests: readonly SiteRequest[], before: Holders): Holders => {
  const claims: Claim[] = requests.flatMap(({ daemon, claimed }) =>
    [...claimed].map((host) => ({ host, id: daemon.id })),
  );
  const holders = settleClaims(claims, before);
  const owners = new Map(requests.map(({ daemon }) => [daemon.id, daemon.key.owner.name]));
  for (const { daemon, hosts, refused } of requests) {
    for (const host of hosts) {
      const holder = holders.get(host) ?? daemon.id;
      if (refused.has(host) || holder === daemon.id) continue;
      // No owner learns what daemons another has.
      const by = owners.get(holder) === daemon.key.owner.name ? `"${holder}"` : "a daemon of another owner";
      refused.set(host, `host ${host} is held by ${by}, which had it first`);
    }
  }
  return holders;
};

/** Refuses the hosts that their daemons may not have besides each other. Returns the holders. @param requests of all daemons */
export const settleRequests = (requests: readonly SiteRequest[], before: Holders): Holders => {
  capOwners(requests);
  return settleHosts(requests, before);
};
