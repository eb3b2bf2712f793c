/** What one supervisor records about sites for the next. */
import type { Site } from "../../core/site.ts";

/** Plain data. */
export interface SiteMemory {
  /** Daemon id by host. */
  readonly holders: Readonly<Record<string, string>>;
  /** By daemon id. */
  readonly sites: Readonly<Record<string, Site>>;
}

export interface SiteRecord {
  /** Empty where nothing was recorded, or the record is damaged. */
  recall(): SiteMemory;
  /** @throws errno errors */
  remember(memory: SiteMemory): void;
}
