/** The record of sites that a supervisor leaves for the next. */
import type { Site } from "../../core/site.ts";

/** Plain data: who holds which host, and the sites. */
export interface RecordedSites {
  /** Daemon id by host. */
  readonly holders: Readonly<Record<string, string>>;
  /** By daemon id. */
  readonly sites: Readonly<Record<string, Site>>;
}

export interface SiteRecord {
  /** Empty where nothing was recorded, or the record is damaged. */
  read(): RecordedSites;
  /** @throws errno errors */
  write(sites: RecordedSites): void;
}
