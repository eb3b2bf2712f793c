/** A random play: acts happen to a supervisor on fakes; checks hold after each of them, and others once no more happens. */
import { expect } from "vitest";
import { alive } from "../core/lifecycle.ts";
import { type Act, type Manners, NAMES } from "./acts.fake.ts";
import type { Daemon } from "./daemon.ts";
import type { Instance } from "./instance.ts";
import { PlayRequests } from "./play-requests.fake.ts";
import { settled } from "./ports/clock.fake.ts";
import type { Replacement } from "./ports/ports.fake.ts";
import type { FakeRun } from "./ports/run.fake.ts";
import { Scene } from "./scene.fake.ts";

const GOOD: Manners = { obedient: true, slowness: 0, ready: 10, lock: undefined, finish: 0, lifetime: undefined };
/** More than any limit permits. In bytes. */
const HUGE = 1 << 30;
const RESTING = ["stopped", "failed", "forbidden", "invalid"];

export class Play {
  readonly scene = new Scene();
  readonly #requests = new PlayRequests(this.scene);
  #manners: Manners = GOOD;
  #clients = 0;
  /** Daemons that have had max-retries. */
  readonly #mayFail = new Set<string>();
  /** Largest size of each daemon since its runs were within its size. */
  readonly #peaks = new Map<string, number>();
  /** Runs that an earlier supervisor launched in its last turn, without a record. */
  /** Whether this supervisor has never been able to read the conf files. */
  #isUnread = false;
  readonly #orphans = new Set<FakeRun>();

  /** @param limited whether cgroups enforce limits */
  constructor(limited = true) {
    const { runs, sockets, clock, machine } = this.scene.ports;
    if (!limited) machine.means = { controllers: new Set(), swaps: undefined, why: "no cgroups" };
    sockets.binds = true;
    runs.born = (run) => {
      const { obedient, slowness, ready, lock, finish, lifetime } = this.#manners;
      runs.finish = finish;
      if (lock !== undefined) {
        run.waits = true;
        run.wait("waiting for the lock");
        clock.outside(lock, () => void [run.wait(""), run.launched()]);
      }
      run.obedient = obedient;
      run.slowness = slowness;
      if (ready !== undefined) clock.outside(ready, () => run.ready());
      if (lifetime !== undefined) clock.outside(lifetime, () => run.end({ code: 1 }));
    };
    for (const each of NAMES)
      this.scene.ports.confs.write("alice", each, { listen: "fastcgi", autostart: each === "a" });
    this.scene.rescan();
  }

  async perform(act: Act): Promise<void> {
    const { ports, supervisor } = this.scene;
    switch (act.act) {
      case "request": {
        const daemon = supervisor.daemon(`alice/${act.name}`);
        if (daemon) this.#requests.make(daemon, act.verb);
        return;
      }
      case "scale": {
        const daemon = supervisor.daemon(`alice/${act.name}`);
        if (daemon) this.#requests.track(daemon, supervisor.scale(daemon, act.size));
        return;
      }
      case "write":
        ports.confs.write("alice", act.name, act.definition);
        if (act.definition.maxRetries !== undefined) this.#mayFail.add(`alice/${act.name}`);
        return;
      case "resize": {
        const { definition } = ports.confs.has("alice", act.name) ?? {};
        if (definition) ports.confs.write("alice", act.name, { ...definition, instances: act.size });
        return;
      }
      case "spoil":
        ports.confs.put("alice", act.name, { errors: ["x.conf:1: wrong"] });
        return;
      case "remove":
        ports.confs.remove("alice", act.name);
        return;
      case "rescan":
        this.#rescan();
        return;
      case "reload":
        // Daemons may be dropped and loaded again: that counts as a request.
        this.#requests.forgetAll();
        this.#requests.count();
        this.scene.reload(act.world);
        return;
      case "manners":
        this.#manners = act.manners;
        return;
      case "fail":
        ports[act.port].error = new Error("EIO: input/output error");
        return;
      case "end":
        this.#run(act.which)?.end(act.code === undefined ? { signal: "SIGSEGV" } : { code: act.code }, act.rest);
        return;
      case "client": {
        const run = this.#run(act.which);
        if (run) run.client = act.client;
        return;
      }
      case "grow": {
        const run = this.#run(act.which);
        if (run) run.bytes = HUGE;
        return;
      }
      case "connect": {
        const socket = ports.sockets.opened.findLast(
          ({ path, closed }) => !closed && path.endsWith(`/${act.name}.sock`),
        );
        this.#clients += 1;
        if (socket?.connect(this.#clients) && act.accept) socket.accept();
        return;
      }
      case "slow log":
        ports.logs.born = (log) => {
          log.slow = true;
        };
        for (const log of ports.logs.opened) log.slow = true;
        return;
      case "finish logs":
        this.#finishLogs();
        return;
      case "full disk":
        ports.records.full = !ports.records.full;
        return;
      case "lose socket": {
        const { current } = ports.sockets;
        if (current) current.published = false;
        return;
      }
      case "spoil directory":
        ports.confs.unreadable.add("alice");
        return;
      case "mend directory":
        ports.confs.unreadable.clear();
        return;
      case "wait":
        await ports.clock.advance(act.ms);
        return;
      case "replace":
        await this.#replace(act.how);
    }
  }

  #run(index: number): FakeRun | undefined {
    const { live } = this.scene.ports.runs;
    return live[index % Math.max(1, live.length)];
  }

  #rescan(): void {
    // A daemon without a conf file may be dropped; one that exited may be loaded again.
    this.#requests.forgetWhere((id) => !this.#hasConf(id) || !this.scene.supervisor.daemon(id));
    const { started } = this.scene.rescan();
    if (this.scene.ports.confs.unreadable.size === 0) this.#isUnread = false;
    expect(this.scene.ports.records.pending, "records to write after a rescan").toEqual([]);
    for (const id of started) this.#requests.forget(id);
  }

  #hasConf(id: string): boolean {
    return this.scene.ports.confs.has("alice", id.slice("alice/".length)) !== undefined;
  }

  async #replace(how: Replacement): Promise<void> {
    const { ports } = this.scene;
    this.#requests.forgetWhere((id, { ok }) => ok === undefined || !this.#hasConf(id));
    // A promise cannot be killed: those of this turn come to their end first.
    await settled();
    this.#requests.abandon();
    const before = ports.runs.live;
    // The next supervisor ignores a daemon that exited.
    this.#requests.forgetWhere((id) => !this.scene.supervisor.daemon(id));
    // The next supervisor knows only what is written.
    if (ports.records.full) this.#requests.forgetAll();
    ports.replace(how);
    const known = new Set(
      ports.records.daemons("alice").flatMap((each) => {
        const records = ports.records.recall({ owner: { name: "alice" }, name: each });
        return [...records.values()].map(({ run }) => run?.leader.pid);
      }),
    );
    // The shim tells the next supervisor of every run.
    if (how === "with the shim") for (const run of before) if (!known.has(run.pid)) this.#orphans.add(run);
    this.scene.replace(how);
    this.#isUnread = ports.confs.unreadable.size > 0;
  }

  #finishLogs(): void {
    const { logs } = this.scene.ports;
    logs.born = () => undefined;
    for (const log of logs.opened) {
      log.slow = false;
      if (log.closed) log.finish();
    }
  }

  /** What holds at every moment. */
  async check(): Promise<void> {
    const { ports, supervisor } = this.scene;
    await settled();
    for (const run of this.#orphans) if (!run.exists) this.#orphans.delete(run);
    if (!this.#isUnread) expect([...this.#orphans].map(({ daemon }) => `orphan of ${daemon}`)).toEqual([]);
    const runs = ports.runs.live;
    const places = runs.map(({ daemon, instance }) => `${daemon} ${instance}`);
    expect(places, "an instance has two live runs").toEqual([...new Set(places)]);
    for (const run of runs) {
      const { daemon, instance, pid } = run;
      const known = supervisor.daemon(daemon)?.instances();
      // It goes on, unknown, until the conf files can be read.
      if (this.#isUnread && known === undefined) continue;
      // The end of the run before it is reported in a later turn.
      const former = ports.runs.all.find(({ next }) => next === run);
      const pids = known?.map((each) => (each.pid === former?.pid ? pid : each.pid));
      expect(pids, `a run that no instance has: ${daemon} ${instance}`).toContain(pid);
    }
    for (const daemon of supervisor.daemons()) this.#checkDaemon(daemon, runs);
    const sockets = ports.sockets.opened.filter(({ closed }) => !closed).map(({ path }) => path);
    expect(sockets, "two open sockets at one path").toEqual([...new Set(sockets)]);
    const known = new Set(supervisor.daemons().map(({ socketPath }) => socketPath));
    for (const path of sockets) expect(known.has(path), `an open socket without a daemon: ${path}`).toBe(true);
    const logs = ports.logs.opened.filter(({ closed }) => !closed).map(({ daemon }) => daemon);
    expect(logs, "two open logs of one daemon").toEqual([...new Set(logs)]);
    for (const id of logs) expect(supervisor.daemon(id), `an open log without a daemon: ${id}`).toBeDefined();
  }

  #checkDaemon(daemon: Daemon, runs: readonly FakeRun[]): void {
    this.#checkCrowd(daemon, runs.filter((run) => run.daemon === daemon.id).length);
    const { id, removed, state } = daemon;
    expect(removed && !alive(state), `${id} was removed, has stopped and is not dropped`).toBe(false);
    const rests = daemon.instances().every(({ state, pid }) => RESTING.includes(state.phase) && pid === 0);
    const logs = this.scene.ports.logs.opened.filter((log) => log.daemon === id && !log.closed);
    if (rests) expect(logs.length, `open logs of ${id}, which rests`).toBe(0);
    const { verb, ok } = this.#requests.latest(id) ?? {};
    const waits = (verb === "start" || verb === "once") && ok === undefined;
    if (waits && !daemon.rolling) expect(daemon.waiting, `what ${id} waits for, without an answer`).toBe("");
  }

  #checkCrowd(daemon: Daemon, count: number): void {
    const { size } = daemon;
    const peak = count <= size ? size : Math.max(size, this.#peaks.get(daemon.id) ?? size);
    this.#peaks.set(daemon.id, peak);
    expect(count, `${daemon.id} has more runs than its size and one`).toBeLessThanOrEqual(peak + 1);
    if (daemon.block?.kind === "forbidden") {
      const phases = daemon.instances().map(({ state }) => state.phase);
      expect(phases, `${daemon.id} is forbidden`).not.toContain("running");
      expect(phases, `${daemon.id} is forbidden`).not.toContain("starting");
      const drains = daemon.instances().some(({ state }) => state.draining);
      expect(drains, `${daemon.id} is forbidden and drains`).toBe(false);
    }
    const isChanging = daemon.rolling || daemon.instances().some(({ retiring }) => retiring);
    if (!isChanging) expect(count, `${daemon.id} has more runs than its size`).toBeLessThanOrEqual(size);
  }

  /** Ends all faults and lets time pass. */
  async calmDown(ms: number): Promise<void> {
    const { ports } = this.scene;
    this.#manners = GOOD;
    await ports.clock.advance(1000);
    this.#checkMemory();
    ports.records.full = false;
    ports.confs.unreadable.clear();
    for (const port of [ports.sockets, ports.logs, ports.limits, ports.runs]) port.error = undefined;
    for (const run of ports.runs.live) {
      run.obedient = true;
      run.client = false;
      run.bytes = 1 << 20;
    }
    for (const each of NAMES) {
      const file = ports.confs.has("alice", each);
      if (!file || file.definition) continue;
      ports.confs.write("alice", each, { listen: "fastcgi" });
      // Whichever rescan finds the corrected file starts the daemon.
      this.#requests.forget(`alice/${each}`);
    }
    if (this.scene.inForce.policy.mayRunAs("alice", "www").allowed) {
      this.scene.reload({
        uids: Object.fromEntries([...this.scene.inForce.accounts.users].map(([user, { uid }]) => [user, uid])),
      });
    } else this.scene.reload();
    this.#requests.count();
    await ports.clock.advance(1);
    this.#rescan();
    const { supervisor } = this.scene;
    for (const daemon of supervisor.daemons()) this.#requests.track(daemon, supervisor.continue(daemon));
    this.#finishLogs();
    await ports.clock.advance(ms);
  }

  /** Where no cgroup limits memory, a run that exceeds its limit has been killed. */
  #checkMemory(): void {
    const { ports, supervisor } = this.scene;
    if (ports.machine.means.controllers.has("memory")) return;
    for (const run of ports.runs.live.filter(({ lives, bytes }) => lives && bytes === HUGE)) {
      const { memoryLimit, ownerContext } = supervisor.daemon(run.daemon) ?? {};
      expect(memoryLimit ?? ownerContext?.budget.memory, `a run of ${run.daemon} exceeds its limit`).toBeUndefined();
    }
  }

  /** What holds once nothing more happens. */
  checkCalm(): void {
    this.#requests.checkCalm();
    for (const daemon of this.scene.supervisor.daemons()) {
      const active = daemon.instances();
      expect(
        active.map(({ retiring, candidate }) => retiring || candidate),
        `${daemon.id}: roles`,
      ).toEqual(active.map(() => false));
      if (daemon.state.want === "up") expect(active.length, `${daemon.id}: instances`).toBe(daemon.size);
      for (const each of active)
        expect(this.#calmPhases(daemon, each), `${daemon.id} rests`).toContain(each.state.phase);
    }
  }

  /** Phases in which an instance may stay once nothing more happens. */
  #calmPhases({ id, socketPath }: Daemon, { state: { want, once, last }, terms }: Instance) {
    if (want === "down") return ["stopped"];
    const isFinal = last?.exit.how === "code" && last.exit.code === 100;
    if (this.#mayFail.has(id) || last?.permanent || isFinal) return ["failed", "running", "asleep"];
    const socket = this.scene.ports.sockets.opened.findLast(({ path, closed }) => path === socketPath && !closed);
    return terms?.definition.ondemand && !once && socket && socket.waiting.length === 0
      ? ["asleep"]
      : ["running", "asleep"];
  }

  /** Shuts down; nothing is left then. */
  async shutDown(): Promise<void> {
    const { ports, supervisor } = this.scene;
    let isOver = false;
    void supervisor.shutdown().then(() => {
      isOver = true;
    });
    await ports.clock.advance(60_000);
    expect(isOver, "the shutdown ends").toBe(true);
    expect(ports.runs.live).toEqual([]);
    expect([...ports.limits.unused], "cgroups of launches that failed").toEqual([]);
    expect([...ports.sockets.opened, ...ports.sockets.directories].filter(({ closed }) => !closed)).toEqual([]);
    expect(ports.logs.opened.filter(({ closed }) => !closed)).toEqual([]);
  }
}
