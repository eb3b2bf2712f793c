/** Which sites the web server gets into force, where Nginx does not accept all of them. */
import type { Verdict, WebServer } from "./ports/web-server.ts";

/** The vhosts of one daemon. */
export interface Vhosts {
  /** `<owner>/<name>` of the daemon. */
  readonly id: string;
  /** Ends with a newline. No two daemons have the same text. */
  readonly text: string;
  /** Files that Nginx opens for these vhosts alone. */
  readonly files: readonly string[];
}

/** What Nginx serves, as texts of Vhosts; not certain: some workers may serve something else. */
export interface Served {
  readonly texts: ReadonlySet<string>;
  readonly isCertain: boolean;
}

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

/** Sites of one owner that are found one by one: an owner with many refused sites delays nobody. */
export const MOST_FOUND = 8;
const NOT_TRIED = "so many sites of this owner are refused that the others are not tried";
/** EIO, ENOMEM, ENFILE, EMFILE, ENOSPC, EROFS and EDQUOT in Nginx's words: the machine's trouble, which may pass. */
const TROUBLE = /\((?:5|12|23|24|28|30|122): /;

export const textOf = (sites: readonly Vhosts[]): string => sites.map(({ text }) => text).join("");

/** Whether exactly these sites are served, in whatever order. */
export const isServed = (sites: readonly Vhosts[], served: Served): boolean =>
  served.isCertain && sites.length === served.texts.size && sites.every(({ text }) => served.texts.has(text));

const ownerOf = (id: string): string => id.slice(0, id.indexOf("/"));

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

class Selecting {
  readonly #web: Installer;
  readonly #served: Served;
  readonly #leftOut = new Map<string, string>();
  /** Sites found to be refused, by owner. */
  readonly #found = new Map<string, number>();
  #kept: readonly Vhosts[];
  #isReloaded = false;

  constructor(web: Installer, sites: readonly Vhosts[], served: Served) {
    this.#web = web;
    this.#kept = sites;
    this.#served = served;
  }

  async run(): Promise<Selection> {
    const verdict = await this.#installAll();
    return { verdict, kept: this.#kept, leftOut: this.#leftOut, isReloaded: this.#isReloaded };
  }

  /** Leaves out one site after the other that a complaint names; bisects where it names none. */
  async #installAll(): Promise<Verdict> {
    for (;;) {
      const verdict = await this.#install();
      if (verdict.kind !== "refused") return verdict;
      const named = namedBy(verdict, this.#kept);
      if (!named) return this.#installHalves(verdict);
      this.#leaveOut(named, verdict.complaint);
      this.#kept = this.#kept.filter((site) => site !== named && !this.#isHopeless(site));
    }
  }

  async #install(): Promise<Verdict> {
    if (isServed(this.#kept, this.#served)) return { kind: "accepted" };
    const verdict = this.#judge(await this.#web.install(textOf(this.#kept)), this.#kept);
    this.#isReloaded ||= verdict.kind === "accepted";
    return verdict;
  }

  async #try(sites: readonly Vhosts[]): Promise<Verdict> {
    return this.#judge(await this.#web.try(textOf(sites)), sites);
  }

  /** A site that works stays in force until the machine has recovered. */
  #judge(verdict: Verdict, sites: readonly Vhosts[]): Verdict {
    if (verdict.kind !== "refused" || !TROUBLE.test(verdict.complaint)) return verdict;
    const named = namedBy(verdict, sites);
    return named && !this.#served.texts.has(named.text) ? verdict : { kind: "failed", reason: verdict.complaint };
  }

  #leaveOut({ id, text }: Vhosts, why: string): void {
    this.#leftOut.set(text, why);
    this.#found.set(ownerOf(id), this.#foundOf(id) + 1);
  }

  #foundOf(id: string): number {
    return this.#found.get(ownerOf(id)) ?? 0;
  }

  /** Leaves a site out, too, where many of its owner's are refused; one that is served only after one more. */
  #isHopeless({ id, text }: Vhosts): boolean {
    if (this.#foundOf(id) < MOST_FOUND + (this.#served.texts.has(text) ? 1 : 0)) return false;
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
    // The complaint is about something else.
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

  /** Adds those of the sites that Nginx accepts to those that are kept. Gives the failure of a trial, if there is one. */
  async #sift(sites: readonly Vhosts[]): Promise<Verdict | undefined> {
    const hopeful = sites.filter((site) => !this.#isHopeless(site));
    if (hopeful.length === 0) return undefined;
    const verdict = await this.#try([...this.#kept, ...hopeful]);
    if (verdict.kind === "refused") return this.#divide(hopeful, verdict);
    if (verdict.kind === "failed") return verdict;
    this.#kept = [...this.#kept, ...hopeful];
    return undefined;
  }

  /** The same for sites that Nginx does not accept together. */
  async #divide(sites: readonly Vhosts[], { complaint }: Refusal): Promise<Verdict | undefined> {
    const half = Math.ceil(sites.length / 2);
    const [first] = sites;
    if (first && sites.length === 1) this.#leaveOut(first, complaint);
    if (sites.length <= 1) return undefined;
    return (await this.#sift(sites.slice(0, half))) ?? (await this.#sift(sites.slice(half)));
  }
}

/**
 * Brings as many of these sites into force as Nginx accepts: all but those that its complaints name, or, where they name
 * none, all but those that bisection finds.
 */
export const installSites = (web: Installer, sites: readonly Vhosts[], served: Served): Promise<Selection> =>
  new Selecting(web, sites, served).run();
