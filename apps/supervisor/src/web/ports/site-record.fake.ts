import type { RecordedSites, SiteRecord } from "./site-record.ts";

/** A record in memory; `fault` is thrown in place of the next writes. */
export class FakeSiteRecord implements SiteRecord {
  recorded: RecordedSites = { holders: {}, sites: {} };
  writes = 0;
  fault: unknown;

  read(): RecordedSites {
    return this.recorded;
  }

  write(sites: RecordedSites): void {
    this.writes += 1;
    if (this.fault !== undefined) throw this.fault;
    // A record that is read has been text in a file.
    this.recorded = JSON.parse(JSON.stringify(sites)) as RecordedSites;
  }
}
