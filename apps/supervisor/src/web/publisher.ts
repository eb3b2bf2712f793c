/** The sites of all daemons: which are published, by whom, and what the web server is offered. */

import { byteLength } from "../core/byte-length.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { appOf } from "../core/definition.ts";
import type { Hostname } from "../core/hostname.ts";
import type { State } from "../core/lifecycle.ts";
import { privateGroup } from "../core/log-readers.ts";
import type { Policy } from "../core/policy.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import { type HostStanding, type Site, type SitePath, sitePath } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { type Claim, type Holders, settleClaims } from "./claims.ts";
import { docrootRefusal } from "./docroot.ts";
import type { WebServer, WebServerAnswer } from "./ports/web-server.ts";
import { renderSite, siteLog } from "./vhost.ts";

/** What hosting needs of a daemon, and tells it. */
export interface Sited {
  readonly id: string;
  readonly key: DaemonKey;
  readonly serving: Terms | undefined;
  readonly state: Pick<State, "block">;
  hosts: readonly HostStanding[];
}

/** What hosting looks at, as it is at the moment. */
export interface PublisherSurroundings {
  daemons(): readonly Sited[];
  policy(): Policy;
  accounts(): AccountBase;
  /** undefined where the supervisor serves none. */
  readonly web: WebServer | undefined;
  readonly machine: { after(delay: number, then: () => void): () => void };
  /** TCP port at which visitors reach the web server. */
  readonly port: number;
  /** Something worth a line in the supervisor's log. */
  report(level: "info" | "warn", text: string): void;
}

/** Sites of one owner at most: each takes the web server two open files. */
const MOST_HOSTS = 256;
/** In bytes: sun_path of unix(7). Nginx refuses all sites for one that is longer. */
const LONGEST_SOCKET_PATH = 107;
/** Where one daemon's vhosts begin (renderSite). */
const SITES = /^(?=# site )/m;
/** What happens within this time is looked at once, in ms: a daemon may respawn often. */
const TOGETHER = 100;
/** Until the web server's answer is looked for again, in ms: at first, and at most. */
const SOON = 200;
const LATEST = 5000;
/**
 * The same once it has taken up all: at its own next start it may leave out what it worked with before. Until a docroot is
 * looked for again, too. In ms.
 */
const SELDOM = 60_000;

/** What is to be published of a daemon, if it may be; `refused` says of its hosts why not. */
interface Prospect {
  readonly daemon: Sited;
  readonly hosts: readonly Hostname[];
  readonly site: Site | undefined;
  readonly refused: Map<Hostname, string>;
  /** Hosts that it takes, or keeps: what a holder has trouble with at the moment nobody else gets. */
  readonly claimed: Set<Hostname>;
}

/** Why a host is not published yet, though it may be. */
const obstacle = (
  { id }: Sited,
  name: Hostname,
  answer: WebServerAnswer | undefined,
  trouble: string | undefined,
): Pick<HostStanding, "state" | "reason"> => {
  if (trouble !== undefined) return { state: "pending", reason: trouble };
  const complaint = answer?.leftOut.get(id);
  if (complaint !== undefined)
    return { state: "refused", reason: `host ${name}: the web server refuses this site: ${complaint}` };
  if (!answer || answer.accepted) return { state: "pending", reason: "the web server has not taken it up yet" };
  // Its complaint may be about somebody else's site.
  const where = "root finds why in the supervisor's log";
  return { state: "refused", reason: `host ${name}: the web server refuses its configuration; ${where}` };
};

export class Publisher {
  readonly #about: PublisherSurroundings;
  #planned = false;
  #closed = false;
  #seen: unknown[] = [];
  #anyRefused = false;
  #cancelPoll: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  /** Until the web server's answer is looked for again, or it is told again, in ms. */
  #delay = SOON;
  #holders: Holders;
  /** What each daemon had last, with all of its hosts: that counts while its file is wrong. */
  #sites: ReadonlyMap<string, Site>;
  /** The same with those hosts alone that are its own. */
  #published: ReadonlyMap<string, Site> = new Map();
  #remembered: string;
  #told = "";

  constructor(about: PublisherSurroundings) {
    this.#about = about;
    const memory = about.web?.recall() ?? { holders: {}, sites: {} };
    this.#holders = new Map(Object.entries(memory.holders));
    this.#sites = new Map(Object.entries(memory.sites));
    this.#remembered = JSON.stringify(memory);
  }

  /** Looks at all of it again, once what goes on at the moment is over. */
  plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    this.#about.machine.after(TOGETHER, () => {
      if (this.#closed) return;
      this.#planned = false;
      const seen = this.#look();
      const isSame = seen.length === this.#seen.length && seen.every((each, index) => each === this.#seen[index]);
      // A docroot that was refused may be in order by now.
      if (isSame && !this.#anyRefused) return;
      this.#seen = seen;
      this.#review();
    });
  }

  /** All that decides about sites, to be compared by identity. */
  #look(): unknown[] {
    const each = this.#about.daemons().flatMap((daemon) => [daemon, daemon.serving, daemon.state.block?.kind]);
    return [this.#about.policy(), this.#about.accounts(), ...each];
  }

  /** Stops looking: what is published stays so. */
  close(): void {
    this.#closed = true;
    this.#cancelPoll?.();
    this.#cancelRetry?.();
  }

  #review(): void {
    const prospects = this.#about.daemons().flatMap((daemon) => this.#prospect(daemon) ?? []);
    this.#capOwners(prospects);
    this.#settle(prospects);
    this.#sites = new Map(prospects.flatMap(({ daemon, site }) => (site ? [[daemon.id, site]] : [])));
    this.#published = new Map(
      prospects.flatMap(({ daemon, hosts, site, refused }) =>
        site ? [[daemon.id, { ...site, hosts: hosts.filter((host) => !refused.has(host)) }]] : [],
      ),
    );
    const trouble = this.#offer();
    this.#anyRefused = trouble !== undefined || prospects.some(({ refused }) => refused.size > 0);
    // What lasts is tried again ever less often.
    if (trouble === undefined) this.#delay = SOON;
    this.#tell(prospects, trouble);
    this.#cancelRetry?.();
    // A docroot may come back, and nobody would say so.
    const isAway = this.#about.web !== undefined && prospects.some(({ site }) => site === undefined);
    this.#cancelRetry = isAway ? this.#about.machine.after(SELDOM, () => this.plan()) : undefined;
  }

  /** What a daemon would have published; undefined where it has no host. */
  #prospect(daemon: Sited): Prospect | undefined {
    const { serving: terms, state } = daemon;
    const former = terms ? undefined : this.#sites.get(daemon.id);
    const hosts = terms?.definition.host ?? former?.hosts ?? [];
    if (hosts.length === 0) {
      daemon.hosts = [];
      return undefined;
    }
    const refused = new Map<Hostname, string>();
    const claimed = new Set(hosts);
    const owner = daemon.key.owner.name;
    for (const host of hosts) {
      const { allowed, because } = this.#about.policy().mayHost(owner, host);
      if (allowed) continue;
      refused.set(host, `host ${host} is not granted to ${owner}: ${because}; root grants it in [hosts]`);
      claimed.delete(host);
    }
    const site = former ?? (terms && this.#site(daemon, terms));
    const why = state.block?.kind === "forbidden" ? state.block.reason : typeof site === "string" ? site : undefined;
    if (why !== undefined) {
      for (const host of hosts) {
        refused.set(host, refused.get(host) ?? `host ${host}: ${why}`);
        if (this.#holders.get(host) !== daemon.id) claimed.delete(host);
      }
    }
    return { daemon, hosts, site: typeof site === "string" ? undefined : site, refused, claimed };
  }

  /** The site that a daemon's terms come to, or why there is none. */
  #site({ id, key }: Sited, { definition, account }: Terms): Site | string {
    const { web } = this.#about;
    if (!web) return "this supervisor serves no web server";
    const { owner } = key;
    const { host, docroot: given, index, maxBody } = definition;
    const app = appOf(definition);
    let logs: SitePath | undefined;
    try {
      logs = sitePath(web.logDirectory(owner, privateGroup(owner, this.#about.accounts())));
    } catch (error) {
      return `its log directory cannot be made: ${error instanceof Error ? error.message : String(error)}`;
    }
    const socket = sitePath(web.socketPath(key));
    if (socket && byteLength(socket) > LONGEST_SOCKET_PATH)
      return `the path of its socket, ${socket}, has more than ${LONGEST_SOCKET_PATH} bytes; a shorter name for the daemon helps`;
    if (!logs || !socket) return "the paths of its logs and socket cannot be written into Nginx's configuration";
    const common = { id, hosts: host, maxBody, logs };
    if (given === undefined) {
      return app === "php" || app === "static"
        ? `app=${app} needs a docroot`
        : { ...common, app, socket, docroot: undefined };
    }
    const docroot = sitePath(given.startsWith("~") ? `${owner.home}${given.slice(1)}` : given);
    if (!docroot) return "its docroot cannot be written into Nginx's configuration";
    try {
      const refusal = docrootRefusal(docroot, owner, account, (path) => web.ownerOf(account, path));
      if (refusal !== undefined) return refusal;
    } catch (error) {
      // What was in order stays so until it can be looked at.
      if (this.#sites.get(id)?.docroot !== docroot)
        return `its docroot ${docroot} cannot be looked at: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (app === "static") return { ...common, app, docroot, index };
    return app === "php" ? { ...common, app, docroot, socket, index } : { ...common, app, docroot, socket };
  }

  #capOwners(prospects: readonly Prospect[]): void {
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
  }

  /** Leaves every host to one daemon. */
  #settle(prospects: readonly Prospect[]): void {
    const claims: Claim[] = prospects.flatMap(({ daemon, claimed }) =>
      [...claimed].map((host) => ({ host, id: daemon.id })),
    );
    this.#holders = settleClaims(claims, this.#holders);
    for (const { daemon, hosts, refused } of prospects) {
      const own = daemon.key.owner.name;
      for (const host of hosts) {
        const holder = this.#holders.get(host) ?? daemon.id;
        if (refused.has(host) || holder === daemon.id) continue;
        // Who somebody else's daemons are is nobody's business.
        const by = holder.startsWith(`${own}/`) ? `"${holder}"` : "a daemon of another owner";
        refused.set(host, `host ${host} is held by ${by}, which had it first`);
      }
    }
  }

  /** Offers the sites to the web server; what cannot be done is the reason returned. */
  #offer(): string | undefined {
    const { web } = this.#about;
    if (!web) return undefined;
    try {
      const memory = { holders: Object.fromEntries(this.#holders), sites: Object.fromEntries(this.#sites) };
      const text = JSON.stringify(memory);
      if (text !== this.#remembered) web.remember(memory);
      this.#remembered = text;
      // In an order in which an owner's stand together.
      const sites = [...this.#published.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
      web.offer(sites.map(renderSite).join(""));
      return undefined;
    } catch (error) {
      return `the web server cannot be told of it: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Tells each daemon how its sites stand, and looks again: soon while the web server has not taken them up. */
  #tell(prospects: readonly Prospect[], trouble: string | undefined): void {
    const { web } = this.#about;
    const answer = web?.answer();
    const inForce = new Set(web?.inForce().split(SITES));
    this.#reportAnswer(prospects.length > 0 ? answer : undefined, trouble);
    for (const { daemon, hosts, refused } of prospects) {
      const site = this.#published.get(daemon.id);
      const isPublished = site !== undefined && inForce.has(renderSite(site));
      const logTrouble = this.#logTrouble(daemon.key.owner);
      daemon.hosts = hosts.map((name): HostStanding => {
        const url = `http://${name}${this.#about.port === 80 ? "" : `:${this.#about.port}`}/`;
        const reason = refused.get(name);
        if (reason !== undefined || !site)
          return { name, state: "refused", reason: reason ?? "", url, logs: undefined };
        const logs = {
          access: siteLog(site.logs, name, "access"),
          error: siteLog(site.logs, name, "error"),
          trouble: logTrouble,
        };
        if (isPublished) return { name, state: "published", reason: "", url, logs };
        return { name, ...obstacle(daemon, name, answer, trouble), url, logs };
      });
    }
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
    if (!web) return;
    // What is left out is tried again from time to time.
    const isSettled = trouble === undefined && answer?.accepted && answer.leftOut.size === 0;
    if (isSettled && prospects.length === 0) return;
    this.#cancelPoll = this.#about.machine.after(isSettled ? SELDOM : this.#delay, () => {
      if (trouble !== undefined) this.plan();
      else this.#tell(prospects, undefined);
    });
    this.#delay = isSettled ? SOON : Math.min(LATEST, 2 * this.#delay);
  }

  /** Why an owner cannot read the logs of their sites; "" where they can. */
  #logTrouble(owner: Account): string {
    const { web } = this.#about;
    if (!web || web.canReadLogs(owner, privateGroup(owner, this.#about.accounts()))) return "";
    const why = `other accounts are in their primary group (${owner.gid}), too, and must not read them`;
    return `${owner.name} cannot read the logs of their sites: ${why}; root gives them a primary group of their own (usermod --gid)`;
  }

  #reportAnswer(answer: WebServerAnswer | undefined, trouble: string | undefined): void {
    if (trouble !== undefined) this.#report("warn", trouble);
    else if (answer?.accepted) {
      const leftOut = [...answer.leftOut].map(
        ([id, complaint]) => `the web server leaves out the sites of ${id}: ${complaint}`,
      );
      if (leftOut.length > 0) this.#report("warn", leftOut.join("; "));
      else this.#report("info", "the web server has taken up the sites");
    } else if (answer) {
      this.#report("warn", `the web server refuses the sites and goes on with those before: ${answer.message}`);
    } else this.#told = "";
  }

  #report(level: "info" | "warn", text: string): void {
    if (this.#told !== text) this.#about.report(level, text);
    this.#told = text;
  }
}
