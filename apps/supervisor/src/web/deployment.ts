/** Brings the wanted sites into force: decides when to ask the web server, what it refused, and when to try again. */
import type { Clock } from "./ports/clock.ts";
import type { Verdict, WebServer } from "./ports/web-server.ts";
import { ReloadPace } from "./reload-pace.ts";
import { installSites, isServed, type Served, type Vhosts } from "./selection.ts";

/** Until refused sites are tried again, in ms: what was in their way may be gone. */
const RETRY = 60_000;
/** How long the web server may be away without a word about it, in ms. */
const ABSENT = 10_000;
/** Until a request that failed is repeated, in ms: at first; doubled each time up to RETRY. */
const SOON = 1000;
/** Where one daemon's vhosts begin (renderSite). */
const SITES = /^(?=# site )/m;

/** Why the wanted sites as a whole are not in force. */
export interface Trouble {
  /** refused: Nginx does not accept its configuration, whatever the sites. failed: no request reached the web server. */
  readonly kind: "refused" | "failed";
  readonly reason: string;
}

export interface DeploymentOptions {
  readonly web: WebServer;
  readonly clock: Clock;
  /** Between two reloads of many in a row, in ms. */
  readonly reloadInterval: number;
  /** Called when something that is known of the sites has changed. */
  readonly onChange: () => void;
}

export class Deployment {
  readonly #web: WebServer;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #pace: ReloadPace;
  /** undefined until it is known: what is in force stays so. */
  #wanted: readonly Vhosts[] | undefined;
  #served: Served = { texts: new Set(), isCertain: false };
  /** Complaints by text. */
  #refusals: ReadonlyMap<string, string> = new Map();
  #trouble: Trouble | undefined;
  /** When refused sites are tried again; undefined while there are none. */
  #retryAt: number | undefined;
  #backoff = SOON;
  #isRunning = false;
  /** Whether something has changed since the present run began. */
  #isOutdated = false;
  #isClosed = false;
  #cancel: (() => void) | undefined;

  constructor({ web, clock, reloadInterval, onChange }: DeploymentOptions) {
    this.#web = web;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#pace = new ReloadPace(clock, reloadInterval);
    web.onConnect(() => {
      this.#backoff = SOON;
      this.#look();
      // It may have ended in the middle of a request, and do so again.
      if (this.#trouble?.kind === "failed" && !this.#isRunning) this.#after(SOON, () => this.#begin());
      else this.#begin();
    });
    this.#look();
  }

  /** Replaces the wanted sites. */
  want(sites: readonly Vhosts[]): void {
    this.#wanted = sites;
    this.#begin();
  }

  /** Whether clients are served by this text. */
  isServed(text: string): boolean {
    return this.#served.texts.has(text);
  }

  /** Nginx's complaint about this text; undefined where it was not refused. */
  refusalOf(text: string): string | undefined {
    return this.#refusals.get(text);
  }

  /** Why the wanted sites as a whole are not in force; undefined where nothing is in their way. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** Whether all wanted sites are in force but for those that were refused. */
  get isSettled(): boolean {
    return isServed(this.#tried(this.#refusals), this.#served);
  }

  /** The wanted sites that were refused. */
  get refused(): readonly { readonly id: string; readonly complaint: string }[] {
    return (this.#wanted ?? []).flatMap(({ id, text }) => {
      const complaint = this.#refusals.get(text);
      return complaint === undefined ? [] : [{ id, complaint }];
    });
  }

  /** Asks for nothing more. What is in force stays so. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  #tried(known: ReadonlyMap<string, string>): readonly Vhosts[] {
    return (this.#wanted ?? []).filter(({ text }) => !known.has(text));
  }

  #look(): void {
    const { text, isCertain } = this.#web.inForce();
    this.#served = { texts: new Set(text.split(SITES).filter((each) => each !== "")), isCertain };
  }

  #after(delay: number, then: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(delay, then);
  }

  /** Asks the web server as soon as it is there and the pace of reloads allows it. */
  #begin(): void {
    this.#isOutdated = this.#isRunning;
    if (this.#isClosed || this.#isRunning || !this.#wanted) return;
    if (!this.#web.isConnected) {
      this.#after(ABSENT, () => this.#end({ kind: "failed", reason: "the web server has not connected" }));
      return;
    }
    const wait = this.isSettled ? 0 : this.#pace.wait();
    if (wait > 0) this.#after(wait, () => this.#begin());
    else void this.#run();
  }

  async #run(): Promise<void> {
    this.#cancel?.();
    const isRetry = this.#retryAt !== undefined && this.#clock.now() >= this.#retryAt;
    const known: ReadonlyMap<string, string> = isRetry ? new Map() : this.#refusals;
    const wanted = this.#wanted ?? [];
    this.#isRunning = true;
    const { verdict, kept, leftOut, isReloaded } = await installSites(this.#web, this.#tried(known), this.#served);
    this.#isRunning = false;
    if (verdict.kind === "accepted") {
      this.#served = { texts: new Set(kept.map(({ text }) => text)), isCertain: true };
      const all = new Map([...known, ...leftOut]);
      this.#refusals = new Map(
        wanted.flatMap(({ text }): [string, string][] => {
          const complaint = all.get(text);
          return complaint === undefined ? [] : [[text, complaint]];
        }),
      );
    } else this.#look();
    // A reload that did not come through has begun new workers all the same.
    if (isReloaded || !this.#served.isCertain) this.#pace.take();
    if (isRetry && verdict.kind !== "failed") this.#retryAt = undefined;
    this.#end(verdict);
  }

  /** Settles what follows from the end of a run. */
  #end(verdict: Verdict): void {
    if (this.#isClosed) return;
    if (verdict.kind === "failed") this.#trouble = verdict;
    else this.#trouble = verdict.kind === "refused" ? { kind: "refused", reason: verdict.complaint } : undefined;
    if (verdict.kind !== "failed") this.#backoff = SOON;
    if (verdict.kind === "accepted" && this.#refusals.size === 0) this.#retryAt = undefined;
    else this.#retryAt ??= this.#clock.now() + RETRY;
    this.#onChange();
    if (verdict.kind === "failed") {
      this.#after(this.#backoff, () => this.#begin());
      this.#backoff = Math.min(RETRY, 2 * this.#backoff);
    } else if (this.#isOutdated) this.#begin();
    else if (this.#retryAt !== undefined) {
      this.#after(this.#retryAt - this.#clock.now(), () => this.#begin());
    }
  }
}
