/** The sites of all daemons: finds out which may be published, has them brought into force, and tells the daemons. */

import { messageOf } from "../core/error-message.ts";
import { privateGroup } from "../core/log-readers.ts";
import type { Policy } from "../core/policy.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import type { Site } from "../core/site.ts";
import { siteOf } from "./daemon-site.ts";
import { Deployment } from "./deployment.ts";
import type { SiteClock } from "./ports/clock.ts";
import type { SitePlaces } from "./ports/site-places.ts";
import type { SiteRecord } from "./ports/site-record.ts";
import type { WebServer } from "./ports/web-server.ts";
import { type Former, type Prospect, prospectsOf } from "./prospects.ts";
import type { Vhosts } from "./selection.ts";
import type { Sited } from "./sited.ts";
import { logTroubleOf, type Progress, standingsOf } from "./standing.ts";
import { renderSite, siteLog } from "./vhost.ts";

export type { Sited } from "./sited.ts";

export interface PublisherOptions {
  daemons(): readonly Sited[];
  policy(): Pick<Policy, "mayHost">;
  accounts(): AccountBase;
  /** undefined where the supervisor publishes no sites. */
  readonly web: { readonly server: WebServer; readonly places: SitePlaces; readonly record: SiteRecord } | undefined;
  readonly clock: SiteClock;
  /** TCP port at which clients reach the web server. */
  readonly port: number;
  /** Between two reloads of many in a row, in ms. */
  readonly reloadInterval: number;
  /** A line for the supervisor's log. */
  report(level: "info" | "warn", text: string): void;
}

/** Changes within this time are reviewed together, in ms: a daemon may respawn often. */
const TOGETHER = 100;
/** Until a record that could not be written is tried again, in ms: at first, and at most. */
const SOON = 200;
const LATEST = 5000;
/** Until a docroot is looked for again, in ms. */
const SELDOM = 60_000;
const NO_WEB_SERVER = "this supervisor publishes no sites";

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #deployment: Deployment | undefined;
  #isPlanned = false;
  #isClosed = false;
  /** What the last review was made of, to be compared by identity. */
  #seen: readonly unknown[] = [];
  #prospects: readonly Prospect[] = [];
  #former: Former;
  /** By daemon id, with the hosts alone that are the daemon's own. */
  #published: ReadonlyMap<string, Site> = new Map();
  /** Why nothing can be published at the moment. */
  #trouble: string | undefined;
  #recorded: string;
  #delay = SOON;
  #cancelReview: (() => void) | undefined;
  #reported = "";

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { web, clock, reloadInterval } = options;
    const memory = web?.record.recall() ?? { holders: {}, sites: {} };
    this.#former = { holders: new Map(Object.entries(memory.holders)), sites: new Map(Object.entries(memory.sites)) };
    this.#recorded = JSON.stringify(memory);
    this.#deployment = web && new Deployment({ web: web.server, clock, reloadInterval, onChange: () => this.#tell() });
  }

  /** Reviews all sites once the present changes are over. */
  plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#options.clock.after(TOGETHER, () => {
      this.#isPlanned = false;
      if (this.#isClosed) return;
      const seen = this.#look();
      const isSame = seen.length === this.#seen.length && seen.every((each, index) => each === this.#seen[index]);
      // A docroot that was refused may be in order by now.
      const anyRefused = this.#trouble !== undefined || this.#prospects.some(({ refused }) => refused.size > 0);
      if (isSame && !anyRefused) return;
      this.#seen = seen;
      this.#review();
    });
  }

  /** Changes nothing any more. What is published stays so. */
  close(): void {
    this.#isClosed = true;
    this.#cancelReview?.();
    this.#deployment?.close();
  }

  /** All that decides about sites. */
  #look(): readonly unknown[] {
    const { daemons, policy, accounts } = this.#options;
    const each = daemons().flatMap((daemon) => [daemon, daemon.serving, daemon.state.block?.kind]);
    return [policy(), accounts(), ...each];
  }

  #review(): void {
    const { daemons, policy, accounts, web, clock } = this.#options;
    const all = daemons();
    const { prospects, holders } = prospectsOf(all, policy(), this.#former, (daemon, terms) =>
      web ? siteOf(daemon, terms, this.#former.sites.get(daemon.id), web.places, accounts()) : NO_WEB_SERVER,
    );
    const withHosts = new Set(prospects.map(({ daemon }) => daemon));
    for (const daemon of all) if (!withHosts.has(daemon)) daemon.hosts = [];
    const sites = prospects.flatMap(({ daemon, site, refused }) => (site ? [{ id: daemon.id, site, refused }] : []));
    this.#prospects = prospects;
    this.#former = { holders, sites: new Map(sites.map(({ id, site }) => [id, site])) };
    this.#published = new Map(
      sites.map(({ id, site, refused }) => [id, { ...site, hosts: site.hosts.filter((host) => !refused.has(host)) }]),
    );
    this.#trouble = this.#record();
    if (this.#trouble === undefined) this.#deployment?.want(this.#vhosts());
    this.#tell();
    this.#cancelReview?.();
    this.#cancelReview = undefined;
    if (this.#trouble !== undefined) {
      this.#cancelReview = clock.after(this.#delay, () => this.plan());
      this.#delay = Math.min(LATEST, 2 * this.#delay);
      return;
    }
    this.#delay = SOON;
    // A docroot may come back, and nothing reports it.
    if (web && prospects.some(({ site }) => !site)) this.#cancelReview = clock.after(SELDOM, () => this.plan());
  }

  /** Records who holds which host, before anything is published by it. Gives the reason where that fails. */
  #record(): string | undefined {
    const { web } = this.#options;
    const { holders, sites } = this.#former;
    const memory = { holders: Object.fromEntries(holders), sites: Object.fromEntries(sites) };
    const text = JSON.stringify(memory);
    if (!web || text === this.#recorded) return undefined;
    try {
      web.record.remember(memory);
    } catch (error) {
      return `the sites cannot be recorded: ${messageOf(error)}`;
    }
    this.#recorded = text;
    return undefined;
  }

  /** The vhosts of all sites, those of an owner together. */
  #vhosts(): readonly Vhosts[] {
    return [...this.#published.values()]
      .filter(({ hosts }) => hosts.length > 0)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((site) => ({
        id: site.id,
        text: renderSite(site),
        files: site.hosts.flatMap((host) => [siteLog(site.logs, host, "access"), siteLog(site.logs, host, "error")]),
      }));
  }

  /** Tells each daemon how its hosts stand. */
  #tell(): void {
    const { web, accounts, port } = this.#options;
    const deployment = this.#deployment;
    const recordTrouble = this.#trouble;
    const progress: Progress = {
      isServed: (text) => deployment?.isServed(text) ?? false,
      refusalOf: (text) => deployment?.refusalOf(text),
      trouble: recordTrouble === undefined ? deployment?.trouble : { kind: "failed", reason: recordTrouble },
    };
    for (const { daemon, hosts, refused } of this.#prospects) {
      const { owner } = daemon.key;
      const canRead = web?.places.canReadLogs(owner, privateGroup(owner, accounts())) ?? true;
      const published = this.#published.get(daemon.id);
      daemon.hosts = standingsOf({ hosts, refused }, published, progress, canRead ? "" : logTroubleOf(owner), port);
    }
    if (this.#prospects.length > 0) this.#report(progress.trouble);
  }

  /** Reports how the sites stand where that has changed. */
  #report(trouble: Progress["trouble"]): void {
    const refused = this.#deployment?.refused ?? [];
    let line: readonly ["info" | "warn", string] | undefined;
    if (trouble?.kind === "failed") line = ["warn", `the sites are not in force yet: ${trouble.reason}`];
    else if (trouble)
      line = ["warn", `the web server refuses the sites and goes on with those in force: ${trouble.reason}`];
    else if (!this.#deployment?.isSettled) this.#reported = "";
    else if (refused.length === 0) line = ["info", "the web server serves the sites"];
    else {
      const each = refused.map(({ id, complaint }) => `the web server leaves out the site of ${id}: ${complaint}`);
      line = ["warn", each.join("; ")];
    }
    if (!line || line[1] === this.#reported) return;
    this.#reported = line[1];
    this.#options.report(...line);
  }
}
