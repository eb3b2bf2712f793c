/** The port runs: each instance has a slot for one live run and one standby launch. */
import { join } from "node:path";
import type { InstanceKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { HelperProcess } from "../../engine/ports/processes.ts";
import type { LiveRun, RawExit, RunContext, RunEvents, RunSlot, Runs, RunTrace } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { recordName } from "../files/record-name.ts";
import type { OwnerBudgets } from "../kernel/owner-budgets.ts";
import type { Poller } from "../kernel/poller.ts";
import { isAlive } from "../kernel/process-table.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { removeGroup } from "../limits/cgroup.ts";
import { LinkedBindDirectory } from "../sockets/bind-directory.ts";
import { type ClientProbe, hasClient, servesClient } from "../sockets/client-probe.ts";
import { awaitNotification } from "../sockets/notification.ts";
import { adopt, clear } from "./adopt.ts";
import { runFinish } from "./finish.ts";
import { LaunchChain, launch, pause, type Stdio } from "./launch-chain.ts";
import type { BudgetedProbe, Run } from "./process-tree.ts";
import { signalNumber } from "./signals.ts";
import { helperProcessOf } from "./tenant-process.ts";

export interface RunSlotsOptions {
  readonly runDir: string;
  readonly poller: Poller;
  readonly snapshots: SocketSnapshots;
  readonly report: (daemon: string, problem: string) => void;
}

/** A launch chain that waits at the gate. */
interface Standby {
  readonly run: number;
  readonly cgroup: string | undefined;
  readonly chain: LaunchChain;
}

/** Time for the end of all standby launches once they are killed, in ms: a program that traces one can delay its end. */
const LONGEST_END = 2000;

class Slot implements RunSlot {
  readonly notifyPath: string;
  readonly #owner: string;
  readonly #daemon: string;
  readonly #options: RunSlotsOptions;
  readonly #budgets: OwnerBudgets;
  readonly #standbys: Set<LaunchChain>;
  #standby: Standby | undefined;
  #run: Run | undefined;
  #finish: Run | undefined;
  #stopListening: (() => void) | undefined;

  /** @param standbys the standby launches of all slots, until they become runs or none of their processes is left */
  constructor(key: InstanceKey, options: RunSlotsOptions, budgets: OwnerBudgets, standbys: Set<LaunchChain>) {
    this.#standbys = standbys;
    this.#owner = key.owner.name;
    this.#daemon = `${key.owner.name}/${key.name}`;
    this.#options = options;
    this.#budgets = budgets;
    this.notifyPath = join(options.runDir, "notify", key.owner.name, `${recordName(key)}.sock`);
  }

  standby(run: number): Standby | undefined {
    return this.#standby?.run === run && this.#standby.chain.waits() ? this.#standby : undefined;
  }

  launch(number: number, plan: LaunchPlan, context: RunContext, events: RunEvents): LiveRun {
    const stdio = this.#stdio(number, context);
    const listener = this.#listener(context, events);
    const chain = this.#standby?.chain;
    this.#standby = undefined;
    if (chain) this.#standbys.delete(chain);
    if (context.ready === "notify") {
      this.#stopListening?.();
      const { uid } = context.account;
      this.#stopListening = awaitNotification(this.notifyPath, uid, this.#options.poller, () => listener.ready());
    }
    const run = chain?.go(listener) ?? launch(plan, stdio, context.cgroup, listener);
    return this.#live(run, context.socket?.file);
  }

  prepare(run: number, plan: LaunchPlan, context: RunContext): void {
    const chain = new LaunchChain(plan, this.#stdio(run, context), context.cgroup);
    this.#standby = { run, cgroup: context.cgroup, chain };
    this.#standbys.add(chain);
    void chain.gone.then(() => this.#standbys.delete(chain));
  }

  discard(): void {
    this.#standby?.chain.discard();
    this.#standby = undefined;
  }

  adopt(
    number: number,
    trace: RunTrace | undefined,
    context: Pick<RunContext, "socket" | "bind" | "finish" | "log">,
    events: RunEvents,
  ): LiveRun | undefined {
    const listener = this.#listener(context, events);
    const probe = this.#probe(number, context, trace?.socketFile ?? 0);
    const run = trace && adopt(trace.leader, trace.cgroup, this.#options.poller, listener, probe);
    if (run) return this.#live(run, trace.socketFile);
    setImmediate(() => {
      listener.exited(undefined);
      if (trace) clear(trace.leader, trace.cgroup, () => listener.gone(undefined));
      else listener.gone(undefined);
    });
    return undefined;
  }

  finishing(): HelperProcess | undefined {
    const report = (problem: string): void => this.#options.report(this.#daemon, problem);
    return this.#finish && helperProcessOf("finish", this.#finish, report);
  }

  groups(): readonly string[] {
    return [this.#run?.cgroup, this.#standby?.cgroup].filter((group) => group !== undefined);
  }

  #live(run: Run, socketFile: number | undefined): LiveRun {
    run.socketFile = socketFile;
    this.#run = run;
    return run;
  }

  #listener({ finish, log }: Pick<RunContext, "finish" | "log">, events: RunEvents): RunEvents {
    let last: RawExit;
    return {
      waiting: (reason) => events.waiting(reason),
      launched: () => events.launched(),
      ready: () => events.ready(),
      exited: (exit) => {
        last = exit;
        this.#stopListening?.();
        this.#stopListening = undefined;
        events.exited(exit);
      },
      gone: () => {
        this.#run = undefined;
        if (finish === undefined || last?.report) events.gone(undefined);
        else this.#runFinish(finish, last, log?.descriptor ?? "ignore", (code) => events.gone(code));
      },
    };
  }

  #runFinish(
    finish: NonNullable<RunContext["finish"]>,
    exit: RawExit,
    output: number | "ignore",
    done: (code: number | undefined) => void,
  ): void {
    let cgroup: string | undefined;
    try {
      const signal = exit?.signal === undefined ? 0 : signalNumber(exit.signal);
      const launch = finish({ code: exit?.code, signal });
      cgroup = launch.cgroup;
      this.#finish = runFinish(launch.plan, output, cgroup, (code, report) => {
        this.#finish = undefined;
        if (report !== "") this.#options.report(this.#daemon, `cannot launch its finish: ${report.trim()}`);
        done(code);
      });
    } catch (error) {
      if (cgroup !== undefined) removeGroup(cgroup);
      const why = messageOf(error);
      this.#options.report(this.#daemon, `cannot launch its finish: ${why}`);
      done(undefined);
    }
  }

  #stdio(run: number, { socket, bind, input, ready, log }: RunContext): Stdio {
    const isInput = input === "socket";
    return {
      input: isInput ? (socket?.descriptor ?? "ignore") : "ignore",
      output: log?.descriptor ?? "ignore",
      socket: isInput ? undefined : socket?.descriptor,
      reportsReady: ready.startsWith("fd:"),
      probe: this.#probe(run, { socket, bind }, socket?.file ?? 0),
    };
  }

  /**
   * The client probe of a run; undefined where it can have no clients.
   * @param file that its socket is bound to (HeldSocket.file); 0 for none
   */
  #probe(run: number, { socket, bind }: Pick<RunContext, "socket" | "bind">, file: number): BudgetedProbe | undefined {
    const bound = bind instanceof LinkedBindDirectory ? bind.probe(run) : undefined;
    const probe = socket || file !== 0 ? this.#socketProbe(file, socket?.file) : bound;
    return probe && { ...probe, budget: this.#budgets.of(this.#owner) };
  }

  #socketProbe(file: number, held: number | undefined): ClientProbe {
    // If the socket was replaced, this run is the old one's only listener.
    const clients = file === held ? servesClient : hasClient;
    return { look: (since) => clients(this.#options.snapshots, file, since) };
  }
}

export class RunSlots implements Runs {
  readonly #options: RunSlotsOptions;
  readonly #budgets: OwnerBudgets;
  readonly #standbys = new Set<LaunchChain>();

  /** @param budgets processor time for client probes */
  constructor(options: RunSlotsOptions, budgets: OwnerBudgets) {
    this.#options = options;
    this.#budgets = budgets;
  }

  slot(key: InstanceKey): RunSlot {
    return new Slot(key, this.#options, this.#budgets, this.#standbys);
  }

  removeStray(owner: string, name: string, { leader, cgroup }: RunTrace): void {
    if (isAlive(leader))
      this.#options.report(`${owner}/${name}`, "killing its run: its conf file or its grant was removed");
    clear(leader, cgroup, () => undefined);
  }

  /** Kills all standby launches; resolves when none of their processes and cgroups is left, or after 2 s. */
  async discardAll(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const limit = setTimeout(late.resolve, LONGEST_END);
    for (const chain of this.#standbys) chain.discard();
    await Promise.race([Promise.all([...this.#standbys].map(({ gone }) => gone)), late.promise]);
    clearTimeout(limit);
  }

  /** Kills and reaps all standby launches before it returns: a re-exec must leave no zombie to the next program. */
  discardNow(): void {
    for (const chain of this.#standbys) chain.discard();
    const isLeft = (chain: LaunchChain): boolean => !chain.reap();
    for (let look = 0; look < LONGEST_END && [...this.#standbys].some(isLeft); look += 1) pause(1);
    this.#standbys.clear();
  }
}
