/** The map of daemons: which there are, what they may, and what is asked of them. */
import { type Budget, budgetAllowance, logShare, nextRoom, recentOf } from "../core/budget.ts";
import { alive } from "../core/lifecycle.ts";
import type { Policy } from "../core/policy.ts";
import type { Account } from "../core/policy-rules.ts";
import { Admission, ownersOf, type Rule } from "./admission.ts";
import { Daemon, type TransitionListener } from "./daemon.ts";
import { MemoryGuard } from "./memory-guard.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { ConfDirectories, FoundFile } from "./ports/conf-source.ts";
import type { Ports } from "./ports/ports.ts";
import type { Ending } from "./waiters.ts";

/** What a look at the conf directories found. Ids, and problems as `path:line: text`. */
export interface Findings {
  readonly found: string[];
  readonly started: string[];
  readonly changed: string[];
  readonly removed: string[];
  readonly problems: string[];
  /** What files say that is passed over. */
  readonly warnings: string[];
}

/** How a request ended; `ran` tells whether a process that was begun for it has lived. */
export type Result = Ending;

/** Keeps every daemon that an owner of the policy has a file for. */
export class Supervisor {
  readonly #ports: Ports;
  readonly #onTransition: TransitionListener;
  readonly #daemons = new Map<string, Daemon>();
  /** Those whose accounts have changed, until nothing of them is left. */
  readonly #evicted = new WeakSet<Daemon>();
  /** Daemons that were dropped, by id, until they are closed. */
  readonly #closing = new Map<string, Promise<void>>();
  /** Called when daemons, their files or what they may could have changed; may be called for nothing. */
  changed: () => void = () => undefined;
  /** Ids that are passed over until somebody asks for a look at the files. */
  readonly #forgotten = new Set<string>();
  /** Times of restarts, by owner. */
  readonly #restarts = new Map<string, readonly number[]>();
  readonly #memoryGuard: MemoryGuard;
  #rule: Rule;
  #stopping = false;

  constructor(ports: Ports, rule: Rule, onTransition: TransitionListener) {
    this.#ports = ports;
    this.#rule = rule;
    this.#memoryGuard = new MemoryGuard(ports, () => [...this.#daemons.values()]);
    this.#onTransition = (daemon, ...step) => {
      onTransition(daemon, ...step);
      this.changed();
      if (daemon.removed && !alive(daemon.state)) this.#drop(daemon);
      this.#memoryGuard.watch(daemon);
    };
  }

  #ownerContext(owner: string): OwnerContext {
    const budget = () => this.policy.budget(owner);
    return {
      get budget() {
        return budget();
      },
      earliest: (now) => {
        const { restarts } = budget();
        return restarts ? nextRoom(this.#restarts.get(owner) ?? [], restarts.amount, now) : now;
      },
      restarted: () => {
        const now = this.#ports.clock.now();
        this.#restarts.set(owner, [...recentOf(this.#restarts.get(owner) ?? [], now), now]);
      },
      logShare: () => {
        const logs = this.daemonsOf([owner]).filter(({ file }) => file.definition?.output === "log");
        return logShare(budget(), logs.length);
      },
    };
  }

  get policy(): Policy {
    return this.#rule.policy;
  }
  /** Whether it is on its way out, and takes no more requests. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Those whose daemons are kept here. */
  owners(): readonly string[] {
    return ownersOf(this.#rule);
  }

  #admission(): Admission {
    const ofOwner = (owner: string) => [...this.#daemons.values()].filter(({ key }) => key.owner.name === owner);
    return new Admission(this.#rule, this.#ports.limits.means, ofOwner);
  }

  /** The daemons of these owners, in the order of their ids. */
  daemonsOf(owners: readonly string[]): Daemon[] {
    const wanted = new Set(owners);
    return [...this.#daemons.values()]
      .filter(({ key }) => wanted.has(key.owner.name))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Every daemon, those of owners whom the policy no longer lets run any included. */
  daemons(): Daemon[] {
    return this.daemonsOf([...this.#daemons.values()].map(({ key }) => key.owner.name));
  }

  /** The account, as it is now, of one whose daemons are kept here. */
  owner(name: string): Account | undefined {
    return this.owners().includes(name) ? this.#rule.accounts.users.get(name) : undefined;
  }

  daemon(id: string): Daemon | undefined {
    return this.#daemons.get(id);
  }

  /** Puts another policy in force: what it forbids is stopped, what it no longer forbids may run. */
  rule(rule: Rule): void {
    if (this.#stopping) return;
    const former = this.#rule.accounts;
    const formerPolicy = this.#rule.policy;
    this.#rule = rule;
    for (const daemon of this.#daemons.values()) {
      if (this.#isStrangers(daemon)) this.#evict(daemon);
      else {
        daemon.refresh(rule.accounts, former);
        this.#judge(daemon);
        this.#reallot(daemon, formerPolicy.budget(daemon.key.owner.name));
      }
    }
    this.changed();
  }

  /** Holds a daemon's owner to another budget, if it is another. */
  #reallot(daemon: Daemon, former: Budget): void {
    const amounts = (budget: Budget) => JSON.stringify(budgetAllowance(budget));
    if (amounts(former) === amounts(daemon.ownerContext.budget)) return;
    try {
      daemon.allot();
    } catch {
      // The next launch sets the same limits, and tells what keeps it from that.
    }
    this.#memoryGuard.watch(daemon);
  }

  /** Whether its owner, or whom it runs as, has another uid by now: the one that it knows may be somebody else's. */
  #isStrangers({ key: { owner }, state, terms }: Daemon): boolean {
    const { users } = this.#rule.accounts;
    if (users.get(owner.name)?.uid !== owner.uid) return true;
    const ranAs = alive(state) ? terms?.account : undefined;
    const runsAs = ranAs && users.get(ranAs.name);
    return runsAs !== undefined && runsAs.uid !== ranAs?.uid;
  }

  /** Drops it, after its stop; a look at its owner's directory then finds it anew. */
  #evict(daemon: Daemon): void {
    daemon.removed = true;
    this.#evicted.add(daemon);
    if (alive(daemon.state)) daemon.feed({ type: "stop" });
    else this.#drop(daemon);
  }

  /** Reads the conf directories of `owners`: loads what is new, starts it if its file says so, drops what is gone. */
  rescan(owners: readonly string[]): Findings {
    for (const id of this.#forgotten) if (owners.includes(id.slice(0, id.indexOf("/")))) this.#forgotten.delete(id);
    return this.#rescan(owners);
  }

  #rescan(owners: readonly string[]): Findings {
    const findings: Findings = { found: [], started: [], changed: [], removed: [], problems: [], warnings: [] };
    if (this.#stopping) return findings;
    for (const name of this.owners().filter((owner) => owners.includes(owner))) {
      const owner = this.#rule.accounts.users.get(name);
      const paths = this.#rule.policy.paths(name);
      if (!owner || !paths) continue;
      this.#rescanOwner(owner, paths, findings);
      this.#watch(owner, paths, findings);
    }
    this.changed();
    return findings;
  }

  /** From now on its owner's directories are looked at again by themselves when they change. */
  #watch(owner: Account, places: ConfDirectories, findings: Findings): void {
    try {
      this.#ports.confs.watch(owner, places, () => {
        if (!this.#stopping) this.#rescan([owner.name]);
      });
    } catch (error) {
      findings.problems.push(error instanceof Error ? error.message : String(error));
    }
  }

  #rescanOwner(owner: Account, places: ConfDirectories, findings: Findings): void {
    const loaded = this.daemonsOf([owner.name]);
    const names = loaded.map(({ key }) => key.name);
    // Daemons that an earlier supervisor had come first, too.
    const first = new Set([...names, ...this.#ports.records.daemons(owner.name)]);
    const { files, passedOver, problems, complete } = this.#ports.confs.readAll(owner, places, first);
    findings.problems.push(...problems, ...files.flatMap((file) => file.errors));
    findings.warnings.push(...files.flatMap((file) => file.warnings));
    for (const file of files) {
      const id = `${owner.name}/${file.name}`;
      if (this.#forgotten.has(id)) continue;
      const known = this.#daemons.get(id);
      if (!known) this.#load(owner, file, findings);
      else this.#reload(known, file, findings);
    }
    if (complete) this.#remove([...files.map((file) => file.name), ...passedOver], loaded, findings);
    this.#rejudge(owner.name, findings);
  }

  #remove(names: readonly string[], loaded: readonly Daemon[], findings: Findings): void {
    const there = new Set(names);
    for (const daemon of loaded) {
      if (there.has(daemon.key.name)) continue;
      if (!daemon.removed) findings.removed.push(daemon.id);
      daemon.removed = true;
      if (!alive(daemon.state)) this.#drop(daemon);
    }
  }

  /** Those that were too many may not be so any longer. */
  #rejudge(owner: string, findings: Findings): void {
    if (!this.policy.budget(owner).daemons) return;
    for (const daemon of this.daemonsOf([owner])) {
      if (daemon.state.block?.kind !== "forbidden" || alive(daemon.state)) continue;
      this.#judge(daemon);
      if (daemon.state.run === 0) this.#autostart(daemon, findings);
    }
  }

  #load(owner: Account, file: FoundFile, findings: Findings): void {
    const daemon = new Daemon(
      { owner, name: file.name },
      file,
      this.#ports,
      this.#onTransition,
      this.#ownerContext(owner.name),
      this.#closing.get(`${owner.name}/${file.name}`),
    );
    this.#daemons.set(daemon.id, daemon);
    findings.found.push(daemon.id);
    const judged = this.#admission().terms(daemon);
    const resumed = daemon.resume("kind" in judged ? undefined : judged);
    this.#judge(daemon);
    if (!resumed) this.#autostart(daemon, findings);
  }

  #reload(daemon: Daemon, file: FoundFile, findings: Findings): void {
    if (this.#isStrangers(daemon)) return;
    daemon.removed = false;
    const changed = daemon.file.fingerprint !== file.fingerprint;
    daemon.file = file;
    if (changed) findings.changed.push(daemon.id);
    if (changed && alive(daemon.state)) this.#relimit(daemon, findings);
    if (alive(daemon.state) || !changed) return;
    const { kind } = daemon.state.block ?? {};
    this.#judge(daemon);
    if (kind === "invalid") this.#autostart(daemon, findings);
  }

  /** What of a changed file can be put in force without a restart is. */
  #relimit(daemon: Daemon, findings: Findings): void {
    const judged = this.#admission().terms(daemon);
    if ("kind" in judged) return;
    try {
      daemon.relimit(judged);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      findings.problems.push(`${daemon.file.path}: its limits cannot be changed while it runs: ${why}`);
    }
    this.#memoryGuard.watch(daemon);
  }

  #autostart(daemon: Daemon, findings: Findings): void {
    if (daemon.state.block || !daemon.terms?.definition.autostart || alive(daemon.state)) return;
    findings.started.push(daemon.id);
    daemon.feed({ type: "start" });
  }

  /** Tells the daemon whether it may run, and as what. While it lives, its present terms stay. */
  #judge(daemon: Daemon): void {
    const lives = alive(daemon.state);
    const judged =
      lives && daemon.terms ? this.#admission().present(daemon, daemon.terms) : this.#admission().terms(daemon);
    if (judged && "kind" in judged) {
      const { block } = daemon.state;
      if (block?.kind !== judged.kind || block.reason !== judged.reason) daemon.feed({ type: "block", block: judged });
      return;
    }
    if (judged && !lives && !daemon.offer(judged)) return;
    if (daemon.state.block) daemon.feed({ type: "unblock" });
  }

  /** Ends what an earlier supervisor left and no daemon answers for: runs, sockets, records and cgroups. */
  removeStrays(): void {
    const { records, runs, sockets, limits } = this.#ports;
    for (const owner of records.owners()) {
      for (const name of records.daemons(owner)) {
        if (this.#daemons.has(`${owner}/${name}`)) continue;
        const key = { owner: { name: owner }, name };
        for (const { run } of records.recall(key).values()) if (run) runs.removeStray(owner, name, run);
        records.removeAll(owner, name);
        sockets.removeStray(owner, name);
      }
    }
    limits.removeStrays(new Set(this.daemons().flatMap((daemon) => daemon.groups())));
  }

  /** Starts it, with its file as it is now. */
  start(daemon: Daemon): Promise<Result> {
    return this.#bringUp(daemon, "start");
  }

  /** Starts it, and does not start it again when it ends. */
  once(daemon: Daemon): Promise<Result> {
    return this.#bringUp(daemon, "once");
  }

  /** Holds all of its processes by STOP. */
  async pause(daemon: Daemon): Promise<Result> {
    if (!alive(daemon.state) || daemon.state.phase === "stopping") {
      return { ok: false, reason: `cannot pause "${daemon.id}": it is ${daemon.state.phase}`, ran: false };
    }
    daemon.feed({ type: "pause" });
    return { ok: true };
  }

  /** Lets them go on. */
  async continue(daemon: Daemon): Promise<Result> {
    if (!alive(daemon.state)) {
      return { ok: false, reason: `cannot continue "${daemon.id}": it is ${daemon.state.phase}`, ran: false };
    }
    daemon.feed({ type: "continue" });
    return { ok: true };
  }

  /** Ends the present run and starts the next, with the file as it is now. A file that is wrong leaves it as it is. */
  restart(daemon: Daemon): Promise<Result> {
    return this.#bringUp(daemon, "restart");
  }

  async #bringUp(daemon: Daemon, verb: "start" | "once" | "restart"): Promise<Result> {
    const cannot = (reason: string, ran = false): Result => {
      return { ok: false, reason: `cannot ${verb} "${daemon.id}": ${reason}`, ran };
    };
    if (this.#stopping) return cannot("the supervisor is stopping");
    const since = daemon.runs();
    const former = daemon.terms;
    // One that is ending begins anew, too.
    if (verb === "restart" || !alive(daemon.state) || daemon.state.phase === "stopping") {
      const file = this.#readAgain(daemon);
      if (!file) return cannot(`its file ${daemon.file.path} is gone`);
      // One that cannot be read has not changed, for all that is known.
      if (file.legible || !alive(daemon.state)) daemon.file = file;
      const judged = this.#admission().terms(daemon, file);
      if ("kind" in judged) {
        if (!alive(daemon.state)) daemon.feed({ type: "block", block: judged });
        return cannot(judged.reason);
      }
      if (!daemon.offer(judged)) return cannot(daemon.state.block?.reason ?? "");
      if (daemon.state.block) daemon.feed({ type: "unblock" });
    }
    if (verb !== "restart") daemon.feed({ type: verb });
    const outcome = await (verb === "restart" ? daemon.restart(former) : daemon.outcome("up", since));
    return outcome.ok ? outcome : cannot(outcome.reason, outcome.ran);
  }

  /** Its file as it is now; undefined when there is none any more. */
  #readAgain(daemon: Daemon): FoundFile | undefined {
    const { owner, name } = daemon.key;
    const places = this.#rule.policy.paths(owner.name);
    return places ? this.#ports.confs.readOne(owner, places, name) : daemon.file;
  }

  /** Stops it and all that it started. */
  async stop(daemon: Daemon): Promise<Result> {
    const since = daemon.runs();
    daemon.feed({ type: "stop" });
    const outcome = await daemon.outcome("down", since);
    return outcome.ok ? outcome : { ...outcome, reason: `cannot stop "${daemon.id}": ${outcome.reason}` };
  }

  /** Stops it and forgets it, until the next rescan that somebody asks for. */
  async exit(daemon: Daemon): Promise<Result> {
    this.#forgotten.add(daemon.id);
    daemon.removed = true;
    const result = await this.stop(daemon);
    if (result.ok) this.#drop(daemon);
    return result;
  }

  /** Changes how many instances it has, without touching those that stay. */
  async scale(daemon: Daemon, size: number): Promise<Result> {
    const cannot = (reason: string, ran = false): Result => {
      return { ok: false, reason: `cannot scale "${daemon.id}": ${reason}`, ran };
    };
    if (daemon.rolling) return cannot("a restart of it is under way; wait for its end");
    if (daemon.terms?.definition.listen === "path" && size > 1) {
      return cannot("with listen=path each process binds the socket itself, so there can be only one");
    }
    const excess = this.#admission().manifold(daemon, size);
    if (excess !== undefined) return cannot(excess);
    const outcome = await daemon.scale(size);
    return outcome.ok ? outcome : cannot(outcome.reason, outcome.ran);
  }

  /** Stops everything, empties the logs and takes the sockets away. */
  async shutdown(): Promise<void> {
    this.#stopping = true;
    this.#memoryGuard.end();
    const all = [...this.#daemons.values()];
    await Promise.all(all.map((daemon) => this.stop(daemon)));
    await Promise.all([...all.map((daemon) => daemon.close()), ...this.#closing.values()]);
  }

  #drop(daemon: Daemon): void {
    if (!this.#daemons.delete(daemon.id)) return;
    this.changed();
    const closed = daemon.close().then(() => {
      if (this.#closing.get(daemon.id) === closed) this.#closing.delete(daemon.id);
      if (this.#evicted.has(daemon)) this.#rescan([daemon.key.owner.name]);
    });
    this.#closing.set(daemon.id, closed);
  }
}
