/** The web server as the publisher needs it. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { Site } from "../../core/site.ts";

/** What the web server says of the vhosts that it is offered. */
export interface WebServerAnswer {
  readonly accepted: boolean;
  /** Its complaint; "" where it has none. */
  readonly message: string;
  /** Sites that it leaves out though it takes the others: its complaint about each, by daemon id. */
  readonly leftOut: ReadonlyMap<string, string>;
}

/** What is kept of the sites from one supervisor to the next. Plain data. */
export interface SiteMemory {
  /** Daemon id by host. */
  readonly holders: Readonly<Record<string, string>>;
  /** By daemon id. */
  readonly sites: Readonly<Record<string, Site>>;
}

/** The web server as seen from the supervisor, which only lays text out for it: it comes and takes. May throw errno errors. */
export interface WebServer {
  /** Lays out these vhosts in place of those before; nothing happens where they are the same. */
  offer(text: string): void;
  /** What it says of those that lie there; undefined while it has not said anything. */
  answer(): WebServerAnswer | undefined;
  /** The vhosts that it works with. */
  inForce(): string;
  /** Where the daemon's socket is published, whether it is there at the moment or not. */
  socketPath(key: DaemonKey): string;
  /** The directory for the logs of an owner's hosts, made where it is missing. @param group who may read them, if anyone */
  logDirectory(owner: Account, group: number | undefined): string;
  /** Whether the owner can read what lies there. @param group as it was given to logDirectory */
  canReadLogs(owner: Account, group: number | undefined): boolean;
  /**
   * Uid of the owner of a directory as this account sees it; a reason in words where it sees none. Throws where that cannot
   * be found out at the moment.
   */
  ownerOf(viewer: Account, path: string): number | string;
  recall(): SiteMemory;
  remember(memory: SiteMemory): void;
}
