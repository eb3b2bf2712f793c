/** The sites of all daemons: decides which may be published, deploys them, and updates the status of the hosts. */

import { privateGroup } from "../core/account-groups.ts";
import { messageOf } from "../core/error-message.ts";
import type { Policy } from "../core/policy.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import type { Site, SitePath } from "../core/site.ts";
import { siteOf } from "./daemon-site.ts";
import { Deployment } from "./deployment.ts";
import { type DeploymentStatus, hostStatusesOf, logProblemOf } from "./host-status.ts";
import type { SiteClock } from "./ports/clock.ts";
import type { SiteFiles } from "./ports/site-files.ts";
import type { SiteRecord } from "./ports/site-record.ts";
import type { WebServer } from "./ports/web-server.ts";
import type { Vhosts } from "./selection.ts";
import type { SiteDaemon } from "./site-daemon.ts";
import { type PreviousSites, type SiteRequest, settleRequests, siteRequestOf } from "./site-requests.ts";
import { renderSite, siteLog } from "./vhost.ts";

export type { SiteDaemon } from "./site-daemon.ts";

interface PublisherOptions {
  daemons(): readonly SiteDaemon[];
  policy(): Pick<Policy, "mayHost">;
  accounts(): AccountBase;
  /** undefined where the supervisor publishes no sites. */
  readonly web: { readonly server: WebServer; readonly siteFiles: SiteFiles; readonly record: SiteRecord } | undefined;
  readonly clock: SiteClock;
  /** TCP port at which clients reach the web server. */
  readonly port: number;
  /** Interval of reloads after a burst, in ms. */
  readonly reloadInterval: number;
  /** Writes a line to the supervisor's log. */
  report(level: "info" | "warn", text: string): void;
}

/** Changes within this time are reviewed together, in ms: a daemon may respawn often. */
const REVIEW_DELAY = 100;
/** Daemons that are reviewed before other work of the supervisor gets its turn. */
export const SLICE = 32;
/** Delay before a failed write of the record is repeated, in ms: the first and the longest. */
const FIRST_RETRY = 200;
const MAX_RETRY = 5000;
/** Interval at which missing docroots are checked, in ms. */
const DOCROOT_INTERVAL = 60_000;
/** Time after which pending hosts are a problem, in ms. */
const PENDING_LIMIT = 60_000;
const NO_WEB_SERVER = "this supervisor publishes no sites";

/** A site as it is deployed. */
interface PublishedSite extends Vhosts {
  readonly logs: SitePath;
}

const publishedSite = (owner: string, site: Site): PublishedSite => {
  const { id, hosts, logs } = site;
  const files = hosts.flatMap((host) => [siteLog(logs, host, "access"), siteLog(logs, host, "error")]);
  return { id, owner, text: renderSite(owner, site), files, logs };
};

/** Reviews the sites after each change, and deploys them. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #deployment: Deployment | undefined;
  #isPlanned = false;
  #isReviewing = false;
  #isClosed = false;
  /** Inputs of the last review, to be compared by identity. */
  #lastInputs: readonly unknown[] = [];
  #requests: readonly SiteRequest[] = [];
  #previous: PreviousSites;
  /** By daemon id, with only the hosts that the daemon holds. */
  #published: ReadonlyMap<string, PublishedSite> = new Map();
  /** Why the record could not be written; nothing is published until it is. */
  #recordProblem: string | undefined;
  #recorded: string;
  #delay = FIRST_RETRY;
  #cancelReview: (() => void) | undefined;
  #reported = "";
  /** Since when each pending host has been pending. */
  #pending: ReadonlyMap<string, number> = new Map();
  /** Why they are, as far as is known. */
  #failure = "";

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { web, clock, reloadInterval } = options;
    const recorded = web?.record.read() ?? { holders: {}, sites: {} };
    this.#previous = {
      holders: new Map(Object.entries(recorded.holders)),
      sites: new Map(Object.entries(recorded.sites)),
    };
    this.#recorded = JSON.stringify(recorded);
    this.#deployment =
      web && new Deployment({ web: web.server, clock, reloadInterval, onChange: () => this.#updateDaemons() });
  }

  /** Reviews all sites once the present changes are over. */
  plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#options.clock.after(REVIEW_DELAY, () => {
      this.#isPlanned = false;
      if (this.#isClosed) return;
      if (this.#isReviewing) {
        this.plan();
        return;
      }
      const inputs = this.#inputs();
      const isSame =
        inputs.length === this.#lastInputs.length && inputs.every((each, index) => each === this.#lastInputs[index]);
      // The directory of a refused docroot may exist by now.
      const anyRefused = this.#recordProblem !== undefined || this.#requests.some(({ refused }) => refused.size > 0);
      if (isSame && !anyRefused) return;
      this.#lastInputs = inputs;
      this.#continue(this.#review());
    });
  }

  #continue(review: Generator<undefined, void>): void {
    if (this.#isClosed) return;
    this.#isReviewing = !review.next().done;
    if (this.#isReviewing) this.#options.clock.after(0, () => this.#continue(review));
  }

  /** Why hosts have been pending for a minute or longer; "" where none has. It names no host: anyone may read it. */
  get problem(): string {
    const limit = this.#options.clock.now() - PENDING_LIMIT;
    const count = [...this.#pending.values()].filter((since) => since <= limit).length;
    if (count === 0) return "";
    return `${count} ${count === 1 ? "host has" : "hosts have"} been pending for a minute or longer: ${this.#failure}`;
  }

  /** Stops all work. Published sites stay. */
  close(): void {
    this.#isClosed = true;
    this.#cancelReview?.();
    this.#deployment?.close();
  }

  /** Everything that a review depends on. */
  #inputs(): readonly unknown[] {
    const { daemons, policy, accounts } = this.#options;
    const each = daemons().flatMap((daemon) => [daemon, daemon.serving, daemon.state.block?.kind]);
    return [policy(), accounts(), ...each];
  }

  /** In slices. What changes meanwhile is planned as another review. */
  *#review(): Generator<undefined, void> {
    const { daemons, policy, accounts, web, clock } = this.#options;
    const [all, granted, known] = [daemons(), policy(), accounts()];
    const requests: SiteRequest[] = [];
    for (const [index, daemon] of all.entries()) {
      if (index > 0 && index % SLICE === 0) yield;
      const request = siteRequestOf(daemon, granted, this.#previous, (_, terms) =>
        web ? siteOf(daemon, terms, this.#previous.sites.get(daemon.id), web.siteFiles, known) : NO_WEB_SERVER,
      );
      if (request) requests.push(request);
    }
    const holders = settleRequests(requests, this.#previous.holders);
    const sites = requests.flatMap(({ daemon, site, refused }) => (site ? [{ daemon, site, refused }] : []));
    const published = new Map<string, PublishedSite>();
    for (const [index, { daemon, site, refused }] of sites.entries()) {
      if (index > 0 && index % SLICE === 0) yield;
      const permitted = { ...site, hosts: site.hosts.filter((host) => !refused.has(host)) };
      published.set(daemon.id, publishedSite(daemon.key.owner.name, permitted));
    }
    // By that policy nothing may be published any more.
    if (policy() !== granted) {
      this.plan();
      return;
    }
    const withHosts = new Set(requests.map(({ daemon }) => daemon));
    for (const daemon of all) if (!withHosts.has(daemon)) daemon.hosts = [];
    this.#requests = requests;
    this.#previous = { holders, sites: new Map(sites.map(({ daemon, site }) => [daemon.id, site])) };
    this.#published = published;
    this.#recordProblem = this.#record();
    if (this.#recordProblem === undefined) this.#deployment?.deploy(this.#vhosts());
    this.#updateDaemons();
    this.#cancelReview?.();
    this.#cancelReview = undefined;
    if (this.#recordProblem !== undefined) {
      this.#cancelReview = clock.after(this.#delay, () => this.plan());
      this.#delay = Math.min(MAX_RETRY, 2 * this.#delay);
      return;
    }
    this.#delay = FIRST_RETRY;
    // Nothing reports that a missing docroot exists again.
    if (web && requests.some(({ site }) => !site))
      this.#cancelReview = clock.after(DOCROOT_INTERVAL, () => this.plan());
  }

  /** Records the holders before their sites are published. Returns the reason where that fails. */
  #record(): string | undefined {
    const { web } = this.#options;
    const { holders, sites } = this.#previous;
    const recorded = { holders: Object.fromEntries(holders), sites: Object.fromEntries(sites) };
    const text = JSON.stringify(recorded);
    if (!web || text === this.#recorded) return undefined;
    try {
      web.record.write(recorded);
    } catch (error) {
      return `the sites cannot be recorded: ${messageOf(error)}`;
    }
    this.#recorded = text;
    return undefined;
  }

  /** The vhosts of all sites, sorted by owner. */
  #vhosts(): readonly Vhosts[] {
    return [...this.#published.values()].filter(({ text }) => text !== "").sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Sets the status of all hosts. */
  #updateDaemons(): void {
    const { web, accounts, port } = this.#options;
    const deployment = this.#deployment;
    const status: DeploymentStatus = {
      isServed: (text) => deployment?.isServed(text) ?? false,
      refusalOf: (text) => deployment?.refusalOf(text),
      problem:
        this.#recordProblem === undefined ? deployment?.problem : { kind: "failed", reason: this.#recordProblem },
    };
    this.#failure =
      status.problem?.kind === "failed" ? status.problem.reason : "the web server does not serve them yet";
    const now = this.#options.clock.now();
    const pending = new Map<string, number>();
    for (const { daemon, hosts, refused } of this.#requests) {
      const { owner } = daemon.key;
      const canRead = web?.siteFiles.canReadLogs(owner, privateGroup(owner, accounts())) ?? true;
      const published = this.#published.get(daemon.id);
      daemon.hosts = hostStatusesOf({ hosts, refused }, published, status, canRead ? "" : logProblemOf(owner), port);
      for (const { name, state } of daemon.hosts)
        if (state === "pending") pending.set(name, this.#pending.get(name) ?? now);
    }
    this.#pending = pending;
    if (this.#requests.length > 0) this.#report(status.problem);
  }

  /** Reports the status of the deployment when it has changed. */
  #report(problem: DeploymentStatus["problem"]): void {
    const refused = this.#deployment?.refused ?? [];
    let line: readonly ["info" | "warn", string] | undefined;
    if (problem?.kind === "failed") line = ["warn", `the sites are not in force yet: ${problem.reason}`];
    else if (problem) line = ["warn", `the web server refuses the sites and keeps those in force: ${problem.reason}`];
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
