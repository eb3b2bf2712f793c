/** Which sites Nginx serves where it does not accept all of them. */
import type { Verdict, WebServer } from "./ports/web-server.ts";

/** The vhosts of one daemon. */
export interface Vhosts {
  /** `<owner>/<name>` of the daemon. */
  readonly id: string;
  /** Name of the daemon's owner. */
  readonly owner: string;
  /** Ends with a newline. No two daemons have the same text. */
  readonly text: string;
  /** Files that Nginx opens for these vhosts alone. */
  readonly files: readonly string[];
}

/** The sites that Nginx serves, as texts of Vhosts. If this is not certain, some workers may serve others. */
export interface ServedSites {
  readonly texts: ReadonlySet<string>;
  readonly isCertain: boolean;
}

/** The result of a selection. */
export interface Selection {
  /** accepted: `kept` is in force. refused: the complaint is about no site in particular. */
  readonly verdict: Verdict;
  readonly kept: readonly Vhosts[];
  /** Why each site that is left out was refused, by its text. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** Whether Nginx was reloaded. */
  readonly isReloaded: boolean;
}

type Refusal = Extract<Verdict, { kind: "refused" }>;
type Installer = Pick<WebServer, "try" | "install">;

/** Refused sites of one owner that are found one by one; beyond, untried sites are left out, so that no owner delays the others. */
export const MOST_FOUND = 8;
const NOT_TRIED = "not tried: too many other sites of this owner are refused";
/** EIO, ENOMEM, ENFILE, EMFILE, ENOSPC, EROFS and EDQUOT in Nginx's complaints: transient errors of the machine. */
const MACHINE_ERROR = /\((?:5|12|23|24|28|30|122): /;

/** The vhosts of all these sites as one text. */
export const textOf = (sites: readonly Vhosts[]): string => sites.map(({ text }) => text).join("");

/** Whether exactly these sites are served, in any order. */
export const isServed = (sites: readonly Vhosts[], served: ServedSites): boolean =>
  served.isCertain && sites.length === served.texts.size && sites.every(({ text }) => served.texts.has(text));

/** The site that a complaint names by line or by file. */
const namedBy = ({ complaint, line }: Refusal, sites: readonly Vhosts[]): Vhosts | undefined => {
  if (line === undefined)
    return sites.find(({ files }) => files.some((file) => complaint.includes(`open() "${file}" failed`)));
  let last = 0;
  return sites.find(({ text }) => {
    last += text.split("\n").length - 1;
    return line <= last;
  });
};

class Selector {
  readonly #web: Installer;
  readonly #served: ServedSites;
  readonly #leftOut = new Map<string, string>();
  /** Sites found to be refused, by owner. */
  readonly #found = new Map<string, number>();
  #kept: readonly Vhosts[];
  #isReloaded = false;

  constructor(web: Installer, sites: readonly Vhosts[], served: ServedSites) {
    this.#web = web;
    this.#kept = sites;
    this.#served = served;
  }

  async run(): Promise<Selection> {
    const verdict = await this.#installAll();
    return { verdict, kept: this.#kept, leftOut: this.#leftOut, isReloaded: this.#isReloaded };
  }

  /** Leaves out each site that a complaint names; bisects where a complaint names none. */
  async #installAll(): Promise<Verdict> {
    let verdict = await this.#install();
    while (verdict.kind === "refused") {
      const named = namedBy(verdict, this.#kept);
      if (!named) return this.#installHalves(verdict);
      this.#leaveOut(named, verdict.complaint);
      this.#kept = this.#kept.filter((site) => site !== named && !this.#isBeyondLimit(site));
      // Nginx may refuse a site in force by now; the next reload by root would fail with it.
      verdict = isServed(this.#kept, this.#served) ? await this.#try(this.#kept) : await this.#install();
    }
    return verdict;
  }

  async #install(): Promise<Verdict> {
    if (isServed(this.#kept, this.#served)) return { kind: "accepted" };
    const verdict = this.#classify(await this.#web.install(textOf(this.#kept)), this.#kept);
    this.#isReloaded ||= verdict.kind === "accepted";
    return verdict;
  }

  async #try(sites: readonly Vhosts[]): Promise<Verdict> {
    return this.#classify(await this.#web.try(textOf(sites)), sites);
  }

  /** A fault of the machine is a failure, so that a served site stays in force until the machine has recovered. */
  #classify(verdict: Verdict, sites: readonly Vhosts[]): Verdict {
    if (verdict.kind !== "refused" || !MACHINE_ERROR.test(verdict.complaint)) return verdict;
    const named = namedBy(verdict, sites);
    return named && !this.#served.texts.has(named.text) ? verdict : { kind: "failed", reason: verdict.complaint };
  }

  #leaveOut({ owner, text }: Vhosts, why: string): void {
    this.#leftOut.set(text, why);
    this.#found.set(owner, this.#foundOf(owner) + 1);
  }

  #foundOf(owner: string): number {
    return this.#found.get(owner) ?? 0;
  }

  /** Leaves out a site where many of its owner's are refused; a served one has one trial more. */
  #isBeyondLimit({ owner, text }: Vhosts): boolean {
    if (this.#foundOf(owner) < MOST_FOUND + (this.#served.texts.has(text) ? 1 : 0)) return false;
    this.#leftOut.set(text, NOT_TRIED);
    return true;
  }

  /** Finds by bisection which sites Nginx accepts beside those that it serves. */
  async #installHalves(whole: Refusal): Promise<Verdict> {
    const all = this.#kept;
    this.#kept = all.filter(({ text }) => this.#served.texts.has(text));
    let base = await this.#try(this.#kept);
    if (base.kind === "refused" && this.#kept.length > 0) {
      this.#kept = [];
      base = await this.#try([]);
    }
    // Nginx complains even without sites: the fault is in the rest of its configuration.
    if (base.kind === "refused") return whole;
    const kept = new Set(this.#kept);
    const failure =
      base.kind === "failed"
        ? base
        : await this.#divide(
            all.filter((site) => !kept.has(site)),
            whole,
          );
    return failure ?? this.#install();
  }

  /** Keeps those of the sites that Nginx accepts. Returns the failure of a trial, if there is one. */
  async #addAccepted(sites: readonly Vhosts[]): Promise<Verdict | undefined> {
    const hopeful = sites.filter((site) => !this.#isBeyondLimit(site));
    if (hopeful.length === 0) return undefined;
    const verdict = await this.#try([...this.#kept, ...hopeful]);
    if (verdict.kind === "refused") return this.#divide(hopeful, verdict);
    if (verdict.kind === "failed") return verdict;
    this.#kept = [...this.#kept, ...hopeful];
    return undefined;
  }

  /** Does what #addAccepted does, for sites that Nginx does not accept together. */
  async #divide(sites: readonly Vhosts[], { complaint }: Refusal): Promise<Verdict | undefined> {
    const half = Math.ceil(sites.length / 2);
    const [first] = sites;
    if (first && sites.length === 1) this.#leaveOut(first, complaint);
    if (sites.length <= 1) return undefined;
    return (await this.#addAccepted(sites.slice(0, half))) ?? (await this.#addAccepted(sites.slice(half)));
  }
}

/**
 * Brings as many of these sites into force as Nginx accepts: all but those that its complaints name, or, where they name
 * none, all but those that bisection finds.
 */
export const installSites = (web: Installer, sites: readonly Vhosts[], served: ServedSites): Promise<Selection> =>
  new Selector(web, sites, served).run();
