import type { SiteMemory, SiteRecord } from "./site-record.ts";

/** A record in memory; `fault` is thrown in place of the next writes. */
export class FakeSiteRecord implements SiteRecord {
  memory: SiteMemory = { holders: {}, sites: {} };
  writes = 0;
  fault: unknown;

  recall(): SiteMemory {
    return this.memory;
  }

  remember(memory: SiteMemory): void {
    this.writes += 1;
    if (this.fault !== undefined) throw this.fault;
    // What comes back has been through a file.
    this.memory = JSON.parse(JSON.stringify(memory)) as SiteMemory;
  }
}
