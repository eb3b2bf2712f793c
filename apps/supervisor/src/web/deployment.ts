/** Brings the desired sites into force: decides when to send a request to the web server and when to repeat it. */
import type { SiteClock } from "./ports/clock.ts";
import type { Verdict, WebServer } from "./ports/web-server.ts";
import { ReloadPace } from "./reload-pace.ts";
import { installSites, isServed, type ServedSites, type Vhosts } from "./selection.ts";

/** Time after which refused sites are tried again, in ms: the cause may be gone. */
const RETRY_INTERVAL = 60_000;
/** Time in which the web server has to connect before this is reported, in ms. */
const CONNECT_TIMEOUT = 10_000;
/** Delay before a failed request is repeated, in ms; doubled each time up to RETRY_INTERVAL. */
const FIRST_RETRY = 1000;
/** Where one daemon's vhosts begin (renderSite). */
const SITES = /^(?=# site )/m;

/** Why the desired sites as a whole are not in force. */
interface DeploymentProblem {
  /** refused: Nginx does not accept its configuration, whatever the sites. failed: no request reached the web server. */
  readonly kind: "refused" | "failed";
  readonly reason: string;
}

interface DeploymentOptions {
  readonly web: WebServer;
  readonly clock: SiteClock;
  /** Interval of reloads after a burst, in ms. */
  readonly reloadInterval: number;
  /** Called when the status of any site may have changed. */
  readonly onChange: () => void;
}

/** Reconciles the sites in force with the desired ones. */
export class Deployment {
  readonly #web: WebServer;
  readonly #clock: SiteClock;
  readonly #onChange: () => void;
  readonly #pace: ReloadPace;
  /** Undefined until the first review: until then the sites in force stay. */
  #desired: readonly Vhosts[] | undefined;
  #served: ServedSites = { texts: new Set(), isCertain: false };
  /** Complaints by text. */
  #refusals: ReadonlyMap<string, string> = new Map();
  #problem: DeploymentProblem | undefined;
  /** When refused sites are tried again; undefined while there are none. */
  #retryAt: number | undefined;
  #backoff = FIRST_RETRY;
  #isRunning = false;
  /** Whether the desired sites have changed since the present request was sent. */
  #isOutdated = false;
  #isClosed = false;
  #cancel: (() => void) | undefined;

  constructor({ web, clock, reloadInterval, onChange }: DeploymentOptions) {
    this.#web = web;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#pace = new ReloadPace(clock, reloadInterval);
    web.onConnect(() => {
      this.#backoff = FIRST_RETRY;
      this.#readInForce();
      // It may have ended in the middle of a request, and do so again.
      if (this.#problem?.kind === "failed") this.#after(FIRST_RETRY, () => this.#begin());
      else this.#begin();
    });
    this.#readInForce();
  }

  /** Replaces the desired sites. */
  deploy(sites: readonly Vhosts[]): void {
    this.#desired = sites;
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

  /** Why the desired sites as a whole are not in force; undefined where nothing is in their way. */
  get problem(): DeploymentProblem | undefined {
    return this.#problem;
  }

  /** Whether all desired sites are in force but for those that were refused. */
  get isSettled(): boolean {
    return isServed(this.#tried(this.#refusals), this.#served);
  }

  /** The desired sites that were refused. */
  get refused(): readonly { readonly id: string; readonly complaint: string }[] {
    return (this.#desired ?? []).flatMap(({ id, text }) => {
      const complaint = this.#refusals.get(text);
      return complaint === undefined ? [] : [{ id, complaint }];
    });
  }

  /** Sends no more requests. The sites in force stay. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  #tried(known: ReadonlyMap<string, string>): readonly Vhosts[] {
    return (this.#desired ?? []).filter(({ text }) => !known.has(text));
  }

  #readInForce(): void {
    const { text, isCertain } = this.#web.inForce();
    this.#served = { texts: new Set(text.split(SITES).filter((each) => each !== "")), isCertain };
  }

  #after(delay: number, then: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(delay, then);
  }

  /** Sends a request as soon as the web server is connected and the pace of reloads permits it. */
  #begin(): void {
    this.#isOutdated = this.#isRunning;
    if (this.#isClosed || this.#isRunning || !this.#desired) return;
    if (!this.#web.isConnected) {
      this.#after(CONNECT_TIMEOUT, () => this.#end({ kind: "failed", reason: "the web server has not connected" }));
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
    const wanted = this.#desired ?? [];
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
    } else this.#readInForce();
    // A failed reload may have started new workers, too.
    if (isReloaded || !this.#served.isCertain) this.#pace.take();
    if (isRetry && verdict.kind !== "failed") this.#retryAt = undefined;
    this.#end(verdict);
  }

  /** Records the result of a request and schedules the next. */
  #end(verdict: Verdict): void {
    if (this.#isClosed) return;
    if (verdict.kind === "failed") this.#problem = verdict;
    else this.#problem = verdict.kind === "refused" ? { kind: "refused", reason: verdict.complaint } : undefined;
    if (verdict.kind !== "failed") this.#backoff = FIRST_RETRY;
    if (verdict.kind === "accepted" && this.#refusals.size === 0) this.#retryAt = undefined;
    else this.#retryAt ??= this.#clock.now() + RETRY_INTERVAL;
    this.#onChange();
    if (verdict.kind === "failed") {
      this.#after(this.#backoff, () => this.#begin());
      this.#backoff = Math.min(RETRY_INTERVAL, 2 * this.#backoff);
    } else if (this.#isOutdated) this.#begin();
    else if (this.#retryAt !== undefined) {
      this.#after(this.#retryAt - this.#clock.now(), () => this.#begin());
    }
  }
}
