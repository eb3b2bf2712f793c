/** The port runs: each instance has a slot for one live run, which the shim launches. */
import { chmodSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type InstanceKey, ownerOf } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { HeldLog } from "../../engine/ports/logs.ts";
import type { HelperProcess } from "../../engine/ports/processes.ts";
import type { FoundRun, RawExit, RunContext, RunEvents, RunSlot, Runs, RunTrace } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { recordName } from "../files/record-name.ts";
import type { OwnerBudgets } from "../kernel/owner-budgets.ts";
import { isAlive } from "../kernel/process-table.ts";
import type { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { requireSocketPath } from "../kernel/unix-socket.ts";
import { removeGroup } from "../limits/cgroup.ts";
import type { ShimLink } from "../shim/link.ts";
import { daemonName, fifoOfLogger, finishName, nextRunName, readRunName, runName } from "../shim/names.ts";
import { LinkedBindDirectory } from "../sockets/bind-directory.ts";
import { type ClientProbe, hasClient, servesClient } from "../sockets/client-probe.ts";
import { TRAVERSABLE } from "../sockets/socket-directory.ts";
import { adoptFinish, type Finished, runFinish } from "./finish.ts";
import type { Descriptors, Launches } from "./launches.ts";
import { type BudgetedProbe, ProcessTree, type Run } from "./process-tree.ts";
import { signalNumber } from "./signals.ts";
import { helperProcessOf } from "./tenant-process.ts";

interface RunSlotsOptions {
  readonly runDir: string;
  /** The cgroups that belong to this supervisor. */
  readonly cgroups: { readonly path: string | undefined };
  readonly link: ShimLink;
  readonly launches: Launches;
  readonly snapshots: SocketSnapshots;
  readonly report: (daemon: string, problem: string) => void;
  /** Processor time for client probes. */
  readonly budgets: OwnerBudgets;
}

/** A recorded run. Its cgroup counts only where it belongs to this supervisor: elsewhere it can be another one's. */
const recordedTree = ({ leader, cgroup }: RunTrace, { path }: RunSlotsOptions["cgroups"]): ProcessTree =>
  new ProcessTree(leader, path !== undefined && cgroup?.startsWith(`${path}/`) ? cgroup : undefined);

/** Standard output and error of a program that writes to a log. */
const outputTo = (log: HeldLog | undefined): Descriptors =>
  new Map(log ? [1, 2].map((descriptor) => [descriptor, { kind: "fifo", name: log.name }] as const) : []);

export class ProcessSlot implements RunSlot {
  readonly notifyPath: string;
  readonly #key: InstanceKey;
  readonly #daemon: string;
  readonly #options: RunSlotsOptions;
  #run: Run | undefined;
  #finish: Run | undefined;
  /** The cgroup of a run that the shim launches after the present one by itself. */
  #nextGroup: string | undefined;
  /** The cgroups of those that it has launched, or may have. */
  #laterGroups: readonly string[] = [];

  constructor(key: InstanceKey, options: RunSlotsOptions) {
    this.#key = key;
    this.#daemon = daemonName(key);
    this.#options = options;
    this.notifyPath = join(options.runDir, "notify", key.owner.name, `${recordName(key)}.sock`);
  }

  launch(number: number, plan: LaunchPlan, context: RunContext, events: RunEvents): Run {
    if (plan.notifyPath !== undefined) {
      requireSocketPath(plan.notifyPath);
      for (const directory of [dirname(dirname(plan.notifyPath)), dirname(plan.notifyPath)]) {
        mkdirSync(directory, { recursive: true });
        chmodSync(directory, TRAVERSABLE.byAll);
      }
    }
    const file = context.socket?.file;
    const options = { descriptors: this.#descriptors(plan, context), probe: this.#probe(number, context, file ?? 0) };
    const name = runName(this.#key, number);
    const run = this.#options.launches.launch(name, plan, options, this.#listener(number, context, events));
    return this.#live(number, run, file);
  }

  take(number: number, pid: number, again: number | undefined, context: RunContext, events: RunEvents): Run {
    const file = context.socket?.file;
    const options = { cgroup: this.#nextGroup, again, probe: this.#probe(number, context, file ?? 0) };
    const listener = this.#listener(number, context, events);
    const run = this.#options.launches.take(runName(this.#key, number), pid, options, listener);
    return this.#live(number, run, file);
  }

  forbidNext(number: number): void {
    this.#options.launches.forbidNext(runName(this.#key, number));
  }

  adopt(number: number, trace: RunTrace | undefined, context: RunContext, events: RunEvents): Run | undefined {
    const { launches, link } = this.#options;
    // A finish runs only when no process of its run is left: the end of the one is the end of both.
    const isFinishing = link.foundRun(finishName(this.#key, number)) !== undefined;
    const listener = { ...this.#listener(number, context, events), ...(isFinishing && { gone: () => undefined }) };
    const probe = this.#probe(number, context, trace?.socketFile ?? context.socket?.file ?? 0);
    const name = runName(this.#key, number);
    const adopted = launches.adopt(name, trace, listener, probe);
    if (!adopted) this.#endUnknown(trace, listener);
    // Then: its end is reported after the exit of the run.
    if (isFinishing)
      this.#finish = adoptFinish(launches, finishName(this.#key, number), this.#finished(number, events));
    if (!adopted) return undefined;
    this.#live(number, adopted, trace?.socketFile ?? context.socket?.file);
    // Where it has ended since this supervisor connected, the event that says whether another one has followed is on its way.
    if (!launches.forbidNext(name) && this.#nextGroup !== undefined)
      this.#laterGroups = [this.#nextGroup, ...this.#laterGroups];
    return adopted;
  }

  #endUnknown(trace: RunTrace | undefined, listener: RunEvents): void {
    setImmediate(() => {
      listener.exited(undefined);
      // The shim that launched it has ended, but its processes may live.
      if (trace) recordedTree(trace, this.#options.cgroups).clear(() => listener.gone(undefined));
      else listener.gone(undefined);
    });
  }

  finishing(): HelperProcess | undefined {
    const report = (problem: string): void => this.#options.report(this.#daemon, problem);
    return this.#finish && helperProcessOf("finish", this.#finish, report);
  }

  groups(): readonly string[] {
    const own = (this.#finish ?? this.#run)?.cgroup;
    return own === undefined ? [] : [own, ...this.#laterGroups];
  }

  #live(number: number, run: Run, socketFile: number | undefined): Run {
    run.socketFile = socketFile;
    this.#run = run;
    this.#laterGroups = this.#options.link.followers(runName(this.#key, number)).flatMap(({ cgroup }) => cgroup ?? []);
    this.#nextGroup = run.cgroup && nextRunName(run.cgroup);
    return run;
  }

  #listener(number: number, { finish, log }: Pick<RunContext, "finish" | "log">, events: RunEvents): RunEvents {
    let last: RawExit;
    return {
      waiting: (reason) => events.waiting(reason),
      launched: () => events.launched(),
      ready: () => events.ready(),
      exited: (exit) => {
        last = exit;
        events.exited(exit);
      },
      gone: (_, next) => {
        this.#run = undefined;
        // A finish that the conf file has now does not run beside the next run.
        if (next !== undefined || finish === undefined || last?.failure) events.gone(undefined, next);
        else this.#runFinish(number, finish, last, log, this.#finished(number, events));
      },
    };
  }

  /** What follows its finish. Until then the exit of the run is not acknowledged: the next supervisor needs it as well. */
  #finished(number: number, events: RunEvents): Finished {
    const { launches, report } = this.#options;
    const release = launches.keep(runName(this.#key, number));
    return (code, failure) => {
      release();
      this.#run = undefined;
      this.#finish = undefined;
      if (failure !== undefined) report(this.#daemon, `cannot launch its finish: ${failure}`);
      events.gone(code);
    };
  }

  #runFinish(
    number: number,
    finish: NonNullable<RunContext["finish"]>,
    exit: RawExit,
    log: HeldLog | undefined,
    finished: Finished,
  ): void {
    const { launches } = this.#options;
    let cgroup: string | undefined;
    try {
      const signal = exit?.signal === undefined ? 0 : signalNumber(exit.signal);
      const plan = finish({ code: exit?.code, signal });
      cgroup = plan.cgroup;
      this.#finish = runFinish(launches, finishName(this.#key, number), plan, outputTo(log), finished);
    } catch (error) {
      if (cgroup !== undefined) removeGroup(cgroup);
      finished(undefined, messageOf(error));
    }
  }

  #descriptors({ socketDescriptor }: LaunchPlan, { socket, log }: RunContext): Descriptors {
    const input = { kind: "socket", name: this.#daemon } as const;
    const isHeld = socket !== undefined && socketDescriptor !== undefined;
    return new Map([...outputTo(log), ...(isHeld ? [[socketDescriptor, input] as const] : [])]);
  }

  /**
   * The client probe of a run; undefined where it can have no clients.
   * @param file that its socket is bound to (HeldSocket.file); 0 for none
   */
  #probe(run: number, { socket, bind }: RunContext, file: number): BudgetedProbe | undefined {
    const bound = bind instanceof LinkedBindDirectory ? bind.probe(run) : undefined;
    const probe = socket || file !== 0 ? this.#socketProbe(file, socket?.file) : bound;
    return probe && { ...probe, budget: this.#options.budgets.of(this.#key.owner.name) };
  }

  #socketProbe(file: number, held: number | undefined): ClientProbe {
    // If the socket was replaced, this run is the old one's only listener.
    const clients = file === held ? servesClient : hasClient;
    return { look: (since) => clients(this.#options.snapshots, file, since) };
  }
}

const namesByDaemon = (runs: readonly { readonly name: string }[]): ReadonlyMap<string, readonly string[]> => {
  const names = new Map<string, string[]>();
  for (const { name } of runs) {
    const daemon = readRunName(name)?.daemon;
    if (daemon !== undefined) names.set(daemon, [...(names.get(daemon) ?? []), name]);
  }
  return names;
};

export class RunSlots implements Runs {
  readonly #options: RunSlotsOptions;
  /** Names of the runs that an earlier supervisor has left, by daemon. */
  #left: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(options: RunSlotsOptions) {
    this.#options = options;
  }

  slot(key: InstanceKey): ProcessSlot {
    return new ProcessSlot(key, this.#options);
  }

  /** Names of the runs of a daemon that an earlier supervisor has left. */
  #leftOf(daemon: string): readonly string[] {
    this.#left ??= namesByDaemon(this.#options.link.found());
    return this.#left.get(daemon) ?? [];
  }

  found(key: Parameters<Runs["found"]>[0]): readonly FoundRun[] {
    return this.#leftOf(daemonName(key)).flatMap((name) => {
      const id = readRunName(name);
      const now = this.#options.link.foundRun(name);
      return id && now ? { instance: id.instance, run: id.run, lives: now.state !== "exited" } : [];
    });
  }

  removeStray(owner: string, name: string, trace: RunTrace): void {
    if (isAlive(trace.leader))
      this.#options.report(`${owner}/${name}`, "killing its run: its conf file or its grant was removed");
    for (const run of this.#leftOf(`${owner}/${name}`)) this.#options.launches.forbidNext(run);
    recordedTree(trace, this.#options.cgroups).clear(() => undefined);
  }

  removeStrays(isSpared: (owner: string) => boolean): void {
    const { link, launches } = this.#options;
    for (const { name } of link.found()) {
      if (fifoOfLogger(name) === undefined && !isSpared(ownerOf(name))) launches.clear(name);
    }
  }
}
