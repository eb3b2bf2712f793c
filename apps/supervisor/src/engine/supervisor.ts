/** The supervisor: keeps the daemons of all owners, puts policies in force, and carries out requests. */
import { type Budget, budgetLimits, logShare } from "../core/budget.ts";
import { idOf } from "../core/daemon-key.ts";
import { messageOf } from "../core/error-message.ts";
import { alive } from "../core/lifecycle.ts";
import type { Policy } from "../core/policy.ts";
import type { Account } from "../core/policy-rules.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { RescanReport } from "../core/rescan-report.ts";
import { hasForeignAccount } from "./accounts.ts";
import { Admission, isOwner, ownersOf, type PolicyInForce } from "./admission.ts";
import { Daemon, type TransitionListener } from "./daemon.ts";
import { DaemonTable } from "./daemon-table.ts";
import { Exits } from "./exits.ts";
import { MemoryGuard } from "./memory-guard.ts";
import { OwnerContexts } from "./owner-context.ts";
import type { FoundFile } from "./ports/conf-source.ts";
import type { Ports } from "./ports/ports.ts";
import { Rescan, type RescanHost } from "./rescan.ts";
import { atOnce, type Slices } from "./slices.ts";
import { removeStrays } from "./strays.ts";

const inOrder = (daemons: Daemon[]): Daemon[] => daemons.sort((a, b) => (a.id < b.id ? -1 : 1));

/** Until directories that could not be listed are read again. In ms. */
const RETRY = 10_000;

export class Supervisor {
  readonly #ports: Ports;
  readonly #onTransition: TransitionListener;
  readonly #daemons = new DaemonTable();
  /** Daemons that are dropped because an account of theirs has another uid now. */
  readonly #evicted = new WeakSet<Daemon>();
  /** Dropped daemons, by id, until they are closed. */
  readonly #closing = new Map<string, Promise<void>>();
  /** Called when daemons, their conf files or their permissions may have changed. */
  changed: () => void = () => undefined;
  readonly #ownerContexts: OwnerContexts;
  readonly #memoryGuard: MemoryGuard;
  readonly #exits: Exits;
  #inForce: PolicyInForce;
  #stopping = false;
  /** Owners whose directories could not be listed: their daemons of an earlier supervisor go on, unknown. */
  readonly #unread = new Set<string>();
  #cancelRetry: (() => void) | undefined;

  constructor(ports: Ports, inForce: PolicyInForce, onTransition: TransitionListener) {
    this.#ports = ports;
    this.#inForce = inForce;
    this.#exits = new Exits(ports.records);
    this.#memoryGuard = new MemoryGuard(ports, () => this.#daemons.all());
    this.#ownerContexts = new OwnerContexts(ports.clock, {
      budget: (owner) => this.policy.budget(owner),
      logShare: (owner) => {
        const logs = this.#daemons.of(owner).filter(({ file }) => file.definition?.output === "log");
        return logShare(this.policy.budget(owner), logs.length);
      },
    });
    this.#onTransition = (daemon, ...step) => {
      onTransition(daemon, ...step);
      this.changed();
      if (daemon.removed && !alive(daemon.state)) this.#drop(daemon);
      this.#memoryGuard.watch(daemon);
    };
  }

  get policy(): Policy {
    return this.#inForce.policy;
  }
  /** Whether it is shutting down and takes no more requests. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Owners by the policy in force. */
  owners(): readonly string[] {
    return ownersOf(this.#inForce);
  }

  #admission(): Admission {
    return new Admission(this.#inForce, this.#ports.machine, (owner) => this.#daemons.of(owner));
  }

  /** The daemons of these owners, in the order of their ids. */
  daemonsOf(owners: readonly string[]): Daemon[] {
    return inOrder([...new Set(owners)].flatMap((owner) => this.#daemons.of(owner)));
  }

  /** Every daemon, also those of accounts that are no longer owners. */
  daemons(): Daemon[] {
    return inOrder(this.#daemons.all());
  }

  /** The account of an owner; undefined for an account that is no owner. */
  owner(name: string): Account | undefined {
    return isOwner(this.#inForce, name) ? this.#inForce.accounts.users.get(name) : undefined;
  }

  daemon(id: string): Daemon | undefined {
    return this.#daemons.get(id);
  }

  /** Puts another policy in force: stops daemons that it forbids, and unblocks those that it permits again. */
  enforce(inForce: PolicyInForce): void {
    atOnce(this.enforcing(inForce));
  }

  /** The same in slices. Requests between them meet the new policy. */
  *enforcing(inForce: PolicyInForce): Slices<void> {
    if (this.#stopping) return;
    const former = this.#inForce;
    this.#inForce = inForce;
    const owners = new Set(ownersOf(inForce));
    for (const owner of ownersOf(former).filter((each) => !owners.has(each))) {
      this.#ports.confs.forget(owner);
      if (this.#unread.delete(owner)) this.#removeStrays((each) => each !== owner);
    }
    // In the first slice: nobody may reach a daemon whose uid belongs to another person.
    for (const daemon of this.#daemons.all()) if (this.#hasForeignAccount(daemon)) this.#evict(daemon);
    for (const daemon of this.#daemons.all()) {
      // Meanwhile it may have been dropped.
      if (this.#daemons.get(daemon.id) === daemon && !this.#hasForeignAccount(daemon)) {
        daemon.refresh(inForce.accounts);
        this.#admit(daemon);
        this.#applyBudget(daemon, former.policy.budget(daemon.key.owner.name));
      }
      yield;
      if (this.#stopping) return;
    }
    this.changed();
  }

  /** Enforces the owner's budget where it has changed. */
  #applyBudget(daemon: Daemon, former: Budget): void {
    const amounts = (budget: Budget) => JSON.stringify(budgetLimits(budget));
    if (amounts(former) === amounts(daemon.ownerContext.budget)) return;
    try {
      daemon.applyLimits();
    } catch {
      // The next launch sets the same limits and reports the error.
    }
    this.#memoryGuard.watch(daemon);
  }

  #hasForeignAccount(daemon: Daemon): boolean {
    return hasForeignAccount(daemon, this.#inForce.accounts);
  }

  /** Stops and drops it; a rescan of its owner then loads it again. */
  #evict(daemon: Daemon): void {
    daemon.removed = true;
    this.#evicted.add(daemon);
    this.#end(daemon);
  }
  #end(daemon: Daemon): void {
    if (alive(daemon.state)) daemon.feed({ type: "stop" });
    else this.#drop(daemon);
  }

  /** Reads the conf directories of `owners`: loads new daemons, starts those with autostart, drops those without a conf file. */
  rescan(owners: readonly string[], isRequested = true): RescanReport {
    return atOnce(this.rescanning(owners, isRequested));
  }

  /** The same in slices, one for each owner. @param isRequested whether daemons that exited are loaded again: not at the start */
  *rescanning(owners: readonly string[], isRequested = true): Slices<RescanReport> {
    if (isRequested) this.#exits.forget(new Set(owners), (id) => this.#daemons.get(id));
    const report = yield* this.#rescan(owners);
    this.#ports.records.flush();
    return report;
  }

  *#rescan(owners: readonly string[]): Slices<RescanReport> {
    const rescan = new Rescan(this.#ports, this.#exits, this.#rescanHost());
    for (const name of owners) {
      if (this.#stopping) return rescan.report;
      if (!isOwner(this.#inForce, name)) continue;
      const owner = this.#inForce.accounts.users.get(name);
      const paths = this.#inForce.policy.paths(name);
      if (!owner || !paths) continue;
      const isComplete = rescan.scan(owner, paths, () => {
        if (!this.#stopping) atOnce(this.#rescan([name]));
      });
      if (!isComplete) this.#unread.add(name);
      else if (this.#unread.delete(name)) rescan.report.problems.push(...this.#removeStrays((each) => each !== name));
      yield;
    }
    if (this.#unread.size > 0) this.#retryLater();
    this.changed();
    return rescan.report;
  }

  /** Reads the directories again that could not be listed. */
  #retryLater(): void {
    this.#cancelRetry ??= this.#ports.clock.after(RETRY, () => {
      this.#cancelRetry = undefined;
      if (!this.#stopping) atOnce(this.#rescan([...this.#unread]));
    });
  }

  #rescanHost(): RescanHost {
    return {
      admission: () => this.#admission(),
      daemonsOf: (owner) => this.daemonsOf([owner]),
      daemon: (id) => this.#daemons.get(id),
      add: (owner, file) => this.#add(owner, file),
      drop: (daemon) => this.#drop(daemon),
      exit: (daemon) => {
        this.#exits.add(daemon);
        this.#end(daemon);
      },
      admit: (daemon) => this.#admit(daemon),
      hasForeignAccount: (daemon) => this.#hasForeignAccount(daemon),
      evict: (daemon) => this.#evict(daemon),
      uidOf: (account) => this.#inForce.accounts.users.get(account)?.uid,
      limitsDaemons: (owner) => this.policy.budget(owner).daemons !== undefined,
      watchMemory: (daemon) => this.#memoryGuard.watch(daemon),
    };
  }

  #add(owner: Account, file: FoundFile): Daemon {
    const key = { owner, name: file.name };
    const closing = this.#closing.get(idOf(key));
    const context = this.#ownerContexts.of(owner.name);
    const daemon = new Daemon(key, file, this.#ports, this.#onTransition, context, closing);
    this.#daemons.add(daemon);
    return daemon;
  }

  /** Blocks a daemon that must not run, else offers its terms and unblocks it. While a run lives, its terms stay. */
  #admit(daemon: Daemon): void {
    const { lives } = daemon;
    const admitted =
      lives && daemon.terms ? this.#admission().present(daemon, daemon.terms) : this.#admission().terms(daemon);
    if (admitted && "kind" in admitted) {
      const { block } = daemon;
      if (block?.kind !== admitted.kind || block.reason !== admitted.reason)
        daemon.feed({ type: "block", block: admitted });
      return;
    }
    // A run of an earlier supervisor has no terms where its conf file was invalid or forbidden.
    if (admitted && !(lives && daemon.terms) && !daemon.offer(admitted)) return;
    if (daemon.block) daemon.feed({ type: "unblock" });
  }

  /** Ends and removes what an earlier supervisor left that belongs to no daemon: runs, sockets, records and cgroups. Returns the problems. */
  removeStrays(): readonly string[] {
    return this.#removeStrays((owner) => this.#unread.has(owner));
  }
  #removeStrays(isSpared: (owner: string) => boolean): readonly string[] {
    return removeStrays(this.#ports, this.daemons(), isSpared, (id) => this.#exits.has(id));
  }

  /** Starts it, by its present conf file. */
  start(daemon: Daemon): Promise<RequestResult> {
    return this.#bringUp(daemon, "start");
  }

  /** Starts it, and does not restart it when it ends. */
  once(daemon: Daemon): Promise<RequestResult> {
    return this.#bringUp(daemon, "once");
  }

  /** Replaces its runs by runs of its present conf file. Where that file is not valid, the present runs stay. */
  restart(daemon: Daemon): Promise<RequestResult> {
    return this.#bringUp(daemon, "restart");
  }

  /** Suspends all of its processes by STOP. */
  async pause(daemon: Daemon): Promise<RequestResult> {
    if (!alive(daemon.state) || daemon.state.phase === "stopping") {
      return { ok: false, reason: `cannot pause "${daemon.id}": it is ${daemon.state.phase}`, ran: false };
    }
    daemon.feed({ type: "pause" });
    return this.#acknowledge({ ok: true });
  }

  /** Lets its suspended processes continue. */
  async continue(daemon: Daemon): Promise<RequestResult> {
    if (!alive(daemon.state)) {
      return { ok: false, reason: `cannot continue "${daemon.id}": it is ${daemon.state.phase}`, ran: false };
    }
    daemon.feed({ type: "continue" });
    return this.#acknowledge({ ok: true });
  }

  async #bringUp(daemon: Daemon, verb: "start" | "once" | "restart"): Promise<RequestResult> {
    const cannot = (reason: string, ran = false): RequestResult => {
      return { ok: false, reason: `cannot ${verb} "${daemon.id}": ${reason}`, ran };
    };
    if (this.#stopping) return cannot("the supervisor is stopping");
    if (this.#hasForeignAccount(daemon)) {
      return cannot("the uid of its account has changed; start it again when it has stopped");
    }
    const since = daemon.runsBeforeStart();
    const former = daemon.terms;
    // A run that is stopping is followed by one of the present conf file, too.
    if (verb === "restart" || !daemon.lives || daemon.state.phase === "stopping") {
      const file = this.#readAgain(daemon);
      if (!file) return cannot(`its conf file ${daemon.file.path} does not exist`);
      // A conf file that cannot be read may be unchanged.
      if (file.readable || !daemon.lives) daemon.file = file;
      const admitted = this.#admission().terms(daemon, file);
      if ("kind" in admitted) {
        if (!daemon.lives) daemon.feed({ type: "block", block: admitted });
        return cannot(admitted.reason);
      }
      this.#keep(daemon);
      if (!daemon.offer(admitted)) return cannot(daemon.block?.reason ?? "");
      if (daemon.block) daemon.feed({ type: "unblock" });
    }
    if (verb !== "restart") daemon.feed({ type: verb });
    const outcome = await (verb === "restart" ? daemon.restart(former) : daemon.outcome("up", since));
    return this.#acknowledge(outcome.ok ? outcome : cannot(outcome.reason, outcome.ran));
  }

  /** Records a request before its outcome is reported: the next supervisor must know of it. */
  #acknowledge(outcome: RequestResult): RequestResult {
    this.#ports.records.flush();
    return outcome;
  }

  /** It is not dropped when it stops, even where that was intended. */
  #keep(daemon: Daemon): void {
    this.#exits.cancel(daemon);
    this.#evicted.delete(daemon);
    daemon.removed = false;
  }

  /** Its present conf file; undefined where that does not exist. One that cannot be read defines nothing. */
  #readAgain(daemon: Daemon): FoundFile | undefined {
    const { owner, name } = daemon.key;
    const paths = this.#inForce.policy.paths(owner.name);
    if (!paths) return daemon.file;
    try {
      return this.#ports.confs.readOne(owner, paths, name);
    } catch (error) {
      const problem = `${daemon.file.path}: ${messageOf(error)}`;
      const nothing = { definition: undefined, readable: false, errors: [problem], warnings: [] };
      return { ...daemon.file, ...nothing, fingerprint: `! ${problem}` };
    }
  }

  /** Stops it: all processes of its runs end. */
  async stop(daemon: Daemon): Promise<RequestResult> {
    const since = daemon.runs();
    daemon.feed({ type: "stop" });
    const outcome = await daemon.outcome("down", since);
    const reason = (why: string) => `cannot stop "${daemon.id}": ${why}`;
    return this.#acknowledge(outcome.ok ? outcome : { ...outcome, reason: reason(outcome.reason) });
  }

  /** Stops and drops it. A rescan by request loads it again. */
  async exit(daemon: Daemon): Promise<RequestResult> {
    this.#exits.add(daemon);
    const outcome = await this.stop(daemon);
    if (outcome.ok && daemon.removed) this.#drop(daemon);
    return outcome;
  }

  /** Changes the number of its instances; those that stay are not restarted. */
  async scale(daemon: Daemon, size: number): Promise<RequestResult> {
    const cannot = (reason: string, ran = false): RequestResult => {
      return { ok: false, reason: `cannot scale "${daemon.id}": ${reason}`, ran };
    };
    if (daemon.rolling) return cannot("a restart is in progress; wait until it has finished");
    if (daemon.terms?.definition.listen === "path" && size > 1) {
      return cannot("with listen=path each process binds the socket itself, so there can be only one");
    }
    if (!daemon.terms) return cannot(daemon.block?.reason ?? daemon.file.errors[0] ?? "its conf file is not valid");
    const excess = this.#admission().excessInstances(daemon, size);
    if (excess !== undefined) return cannot(excess);
    const outcome = await daemon.scale(size);
    return this.#acknowledge(outcome.ok ? outcome : cannot(outcome.reason, outcome.ran));
  }

  /** Stops all daemons; resolves when all logs are written and all sockets removed. */
  async shutdown(): Promise<void> {
    this.#stopping = true;
    this.#cancelRetry?.();
    // Those of owners whose directories could not be listed. Their records stay.
    for (const strays of [this.#ports.runs, this.#ports.sockets, this.#ports.logs]) strays.removeStrays(() => false);
    const all = this.#daemons.all();
    await Promise.all(all.map((daemon) => this.stop(daemon)));
    this.#memoryGuard.end();
    this.#exits.forget(new Set(this.#ports.records.owners()), () => undefined);
    await Promise.all([...all.map((daemon) => daemon.close()), ...this.#closing.values()]);
  }

  #drop(daemon: Daemon): void {
    if (this.#daemons.get(daemon.id) !== daemon) return;
    this.#daemons.remove(daemon);
    this.changed();
    const closed = daemon.close().then(() => {
      if (this.#closing.get(daemon.id) === closed) this.#closing.delete(daemon.id);
      if (this.#evicted.has(daemon)) atOnce(this.#rescan([daemon.key.owner.name]));
    });
    this.#closing.set(daemon.id, closed);
  }
}
