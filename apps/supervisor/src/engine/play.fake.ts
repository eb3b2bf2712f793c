/** A random play: acts that happen to a supervisor on fakes, and the checks that must hold in between and in the end. */
import fc from "fast-check";
import { expect } from "vitest";
import type { Definition } from "../core/definition.ts";
import { alive } from "../core/lifecycle.ts";
import type { Daemon } from "./daemon.ts";
import { settled } from "./ports/clock.fake.ts";
import type { Replacement } from "./ports/ports.fake.ts";
import type { FakeRun } from "./ports/run.fake.ts";
import { Scene, type World } from "./scene.fake.ts";
import type { Outcome } from "./waiters.ts";

const NAMES = ["a", "b"] as const;
type Name = (typeof NAMES)[number];
type Verb = "start" | "once" | "stop" | "restart" | "exit" | "pause" | "continue";

/** How processes that start from now on behave. */
interface Manners {
  readonly obedient: boolean;
  readonly slowness: number;
  /** Delay of readiness, in ms; undefined: it is never ready. */
  readonly ready: number | undefined;
  /** It exits by itself after so long, in ms. */
  readonly lifetime: number | undefined;
}

export type Act =
  | { readonly act: "request"; readonly name: Name; readonly verb: Verb }
  | { readonly act: "scale"; readonly name: Name; readonly size: number }
  | { readonly act: "write"; readonly name: Name; readonly definition: Partial<Definition> }
  | { readonly act: "spoil" | "remove"; readonly name: Name }
  | { readonly act: "rescan" }
  | { readonly act: "reload"; readonly world: World }
  | { readonly act: "manners"; readonly manners: Manners }
  | { readonly act: "fail"; readonly port: "sockets" | "logs" | "limits" | "runs" }
  | { readonly act: "end"; readonly which: number; readonly code: number | undefined; readonly rest: boolean }
  | { readonly act: "client"; readonly which: number; readonly client: boolean | undefined }
  | { readonly act: "grow"; readonly which: number }
  | { readonly act: "connect"; readonly name: Name; readonly accept: boolean }
  | { readonly act: "slow log" | "finish logs" | "full disk" | "lose socket" }
  | { readonly act: "wait"; readonly ms: number }
  | { readonly act: "replace"; readonly how: Replacement };

const name = fc.constantFrom(...NAMES);
const definition = fc
  .record({
    listen: fc.constantFrom("none", "fastcgi", "fastcgi", "systemd", "path"),
    instances: fc.constantFrom(1, 1, 2, 3),
    rolling: fc.boolean(),
    ready: fc.constantFrom("accept", "accept", "notify"),
    readyTimeout: fc.constant(3000),
    readyAfter: fc.constantFrom(50, 1000),
    drain: fc.constantFrom(0, 2000),
    stopTimeout: fc.constantFrom(0, 1000),
    ondemand: fc.constantFrom(false, false, true),
    idleTimeout: fc.constant(4000),
    autostart: fc.boolean(),
    output: fc.constantFrom("discard", "log", "log"),
    lock: fc.constantFrom(undefined, undefined, "/run/lock/x"),
    user: fc.constantFrom(undefined, undefined, "www"),
    memory: fc.constantFrom(undefined, 64 << 20),
  })
  .map((found) => ({
    ...found,
    ondemand: found.ondemand && found.listen !== "none" && found.listen !== "path",
  })) as fc.Arbitrary<Partial<Definition>>;
const worlds: readonly World[] = [
  {},
  { runsAs: { alice: [] } },
  { runsAs: { bob: [] } },
  { uids: { root: 0, alice: 1001, bob: 1002, www: 1101 } },
  { uids: { root: 0, alice: 1003, bob: 1002, www: 1100 } },
  { limits: { alice: { daemons: 1 } } },
  { limits: { alice: { restarts: 2, memory: 100 << 20, log: 1 << 20 } } },
  { settings: { strictLimits: "yes" } },
];
const which = fc.nat(7);

export const actOf: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant("request"),
      name,
      verb: fc.constantFrom<Verb>(
        "start",
        "start",
        "once",
        "stop",
        "restart",
        "restart",
        "restart",
        "exit",
        "pause",
        "continue",
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("scale"), name, size: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("write"), name, definition }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom("spoil", "remove"), name }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("rescan") }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("reload"), world: fc.constantFrom(...worlds) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("manners"),
      manners: fc.record({
        obedient: fc.boolean(),
        slowness: fc.constantFrom(0, 0, 500),
        ready: fc.constantFrom(10, 10, 500, undefined),
        lifetime: fc.constantFrom(undefined, undefined, 5, 150, 3000),
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant("fail"), port: fc.constantFrom("sockets", "logs", "limits", "runs") }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant("end"),
      which,
      code: fc.constantFrom(0, 1, undefined),
      rest: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant("client"), which, client: fc.constantFrom(true, false, undefined) }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("grow"), which }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("connect"), name, accept: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom("slow log", "finish logs", "full disk", "lose socket") }) },
  {
    weight: 9,
    arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(0, 1, 2, 20, 110, 500, 1500, 6000, 30_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("replace"),
      how: fc.constantFrom("killed", "killed at once", "re-executed"),
    }),
  },
) as fc.Arbitrary<Act>;

const GOOD: Manners = { obedient: true, slowness: 0, ready: 10, lifetime: undefined };

export class Play {
  readonly scene = new Scene();
  #manners: Manners = GOOD;
  #sequence = 0;
  #clients = 0;
  /** Requests without an outcome. */
  readonly #pending = new Set<number>();
  /** The latest request about a daemon that changes its desired state, and its outcome; undefined where it is not known. */
  readonly #latest = new Map<
    string,
    { readonly number: number; readonly desired: "up" | "down" | "either"; ok?: boolean }
  >();
  /** Largest size of each daemon since its runs were within its size. */
  readonly #peaks = new Map<string, number>();
  /** Runs that an earlier supervisor launched in its last turn, without a record. */
  readonly #orphans = new Set<FakeRun>();

  constructor() {
    const { runs, sockets, clock } = this.scene.ports;
    sockets.binds = true;
    runs.born = (run) => {
      const { obedient, slowness, ready, lifetime } = this.#manners;
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
      case "request":
        this.#request(act.name, act.verb);
        return;
      case "scale": {
        const daemon = supervisor.daemon(`alice/${act.name}`);
        if (!daemon) return;
        // Instances that no longer count may still be draining.
        this.#peaks.set(daemon.id, (this.#peaks.get(daemon.id) ?? daemon.size) + act.size);
        this.#track(supervisor.scale(daemon, act.size));
        return;
      }
      case "write":
        ports.confs.write("alice", act.name, act.definition);
        return;
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
        // Daemons may be dropped and loaded again.
        this.#latest.clear();
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
        if (run) run.bytes = 1 << 30;
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

  #request(daemonName: Name, verb: Verb): void {
    const { supervisor } = this.scene;
    const id = `alice/${daemonName}`;
    const daemon = supervisor.daemon(id);
    if (!daemon) return;
    // One that is dropped after its stop may be loaded, and started, again.
    const isDropped = daemon.removed;
    const outcome = supervisor[verb](daemon);
    this.#track(outcome);
    if (verb === "pause" || verb === "continue") return;
    if (isDropped && (verb === "stop" || verb === "exit")) {
      this.#latest.delete(id);
      return;
    }
    const desired = verb === "stop" || verb === "exit" ? "down" : verb === "once" ? "either" : "up";
    const latest: { number: number; desired: "up" | "down" | "either"; ok?: boolean } = {
      number: this.#sequence,
      desired,
    };
    this.#latest.set(id, latest);
    void outcome.then(({ ok }) => {
      latest.ok = ok;
    });
  }
  #track(outcome: Promise<Outcome>): void {
    this.#sequence += 1;
    const number = this.#sequence;
    this.#pending.add(number);
    void outcome.then(() => this.#pending.delete(number));
  }

  #rescan(): void {
    for (const id of [...this.#latest.keys()]) {
      // A daemon without a conf file may be dropped; one that exited may be loaded again.
      const has = this.scene.ports.confs.has("alice", id.slice("alice/".length));
      if (!has || !this.scene.supervisor.daemon(id)) this.#latest.delete(id);
    }
    const { started } = this.scene.rescan();
    for (const id of started) this.#latest.delete(id);
  }

  async #replace(how: Replacement): Promise<void> {
    const { ports } = this.scene;
    for (const [id, { ok }] of this.#latest)
      if (ok === undefined || !ports.confs.has("alice", id.slice(6))) this.#latest.delete(id);
    // A promise cannot be killed: those of this turn come to their end first.
    await settled();
    this.#pending.clear();
    const before = ports.runs.live;
    // A daemon that exited has no record: the next supervisor loads it like any other conf file.
    for (const id of this.#latest.keys()) if (!this.scene.supervisor.daemon(id)) this.#latest.delete(id);
    // What is not written is not known to the next supervisor.
    if (ports.records.full) this.#latest.clear();
    ports.replace(how);
    const known = new Set(
      ports.records.daemons("alice").flatMap((each) => {
        const records = ports.records.recall({ owner: { name: "alice" }, name: each });
        return [...records.values()].map(({ run }) => run?.leader.pid);
      }),
    );
    for (const run of before) if (!known.has(run.pid)) this.#orphans.add(run);
    this.scene.replace(how);
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
  check(): void {
    const { ports, supervisor } = this.scene;
    for (const run of this.#orphans) if (!run.exists) this.#orphans.delete(run);
    expect([...this.#orphans].map(({ daemon }) => `orphan of ${daemon}`)).toEqual([]);
    const runs = ports.runs.live;
    const places = runs.map(({ daemon, instance }) => `${daemon} ${instance}`);
    expect(places, "an instance has two live runs").toEqual([...new Set(places)]);
    for (const { daemon } of runs) expect(supervisor.daemon(daemon), `a run without a daemon: ${daemon}`).toBeDefined();
    for (const daemon of supervisor.daemons())
      this.#checkCrowd(daemon, runs.filter((run) => run.daemon === daemon.id).length);
    const sockets = ports.sockets.opened.filter(({ closed }) => !closed).map(({ path }) => path);
    expect(sockets, "two open sockets at one path").toEqual([...new Set(sockets)]);
    const known = new Set(supervisor.daemons().map(({ socketPath }) => socketPath));
    for (const path of sockets) expect(known.has(path), `an open socket without a daemon: ${path}`).toBe(true);
    const logs = ports.logs.opened.filter(({ closed }) => !closed).map(({ daemon }) => daemon);
    expect(logs, "two open logs of one daemon").toEqual([...new Set(logs)]);
    for (const id of logs) expect(supervisor.daemon(id), `an open log without a daemon: ${id}`).toBeDefined();
    const instances = supervisor.daemons().flatMap((daemon) => daemon.instances());
    expect(ports.runs.standbys.size, "a standby launch without an instance").toBeLessThanOrEqual(instances.length);
  }

  #checkCrowd(daemon: Daemon, count: number): void {
    const { size } = daemon;
    const peak = count <= size ? size : Math.max(size, this.#peaks.get(daemon.id) ?? size);
    this.#peaks.set(daemon.id, peak);
    expect(count, `${daemon.id} has more runs than its size and one`).toBeLessThanOrEqual(peak + 1);
    const isChanging = daemon.rolling || daemon.instances().some(({ retiring }) => retiring);
    if (!isChanging) expect(count, `${daemon.id} has more runs than its size`).toBeLessThanOrEqual(size);
  }

  /** Ends all faults and lets time pass. */
  async calmDown(ms: number): Promise<void> {
    const { ports } = this.scene;
    this.#manners = GOOD;
    ports.records.full = false;
    for (const port of [ports.sockets, ports.logs, ports.limits, ports.runs]) port.error = undefined;
    for (const run of ports.runs.live) {
      run.obedient = true;
      run.client = false;
      run.bytes = 1 << 20;
    }
    for (const each of NAMES) {
      const file = ports.confs.has("alice", each);
      if (file && !file.definition) ports.confs.write("alice", each, { listen: "fastcgi" });
    }
    if (this.scene.rule.policy.mayRunAs("alice", "www").allowed) {
      this.scene.reload({
        uids: Object.fromEntries([...this.scene.rule.accounts.users].map(([user, { uid }]) => [user, uid])),
      });
    } else this.scene.reload();
    await ports.clock.advance(1);
    this.#rescan();
    for (const daemon of this.scene.supervisor.daemons()) this.#track(this.scene.supervisor.continue(daemon));
    this.#finishLogs();
    await ports.clock.advance(ms);
  }

  /** What holds once nothing more happens. */
  checkCalm(): void {
    expect([...this.#pending], "requests without an outcome").toEqual([]);
    for (const daemon of this.scene.supervisor.daemons()) {
      const active = daemon.instances();
      expect(
        active.map(({ retiring, candidate }) => retiring || candidate),
        `${daemon.id}: roles`,
      ).toEqual(active.map(() => false));
      if (daemon.state.want === "up") expect(active.length, `${daemon.id}: instances`).toBe(daemon.size);
      for (const { state } of active) {
        const phases = state.want === "down" ? ["stopped"] : ["running", "asleep"];
        expect(phases, `${daemon.id} rests`).toContain(state.phase);
      }
    }
    for (const [id, { ok, desired }] of this.#latest) {
      if (!ok || desired === "either") continue;
      const daemon = this.scene.supervisor.daemon(id);
      if (desired === "up") expect(daemon?.state.want, `${id} is desired up`).toBe("up");
      else expect(daemon === undefined || !alive(daemon.state), `${id} is desired down`).toBe(true);
    }
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
    expect(ports.runs.standbys.size).toBe(0);
    expect([...ports.sockets.opened, ...ports.sockets.directories].filter(({ closed }) => !closed)).toEqual([]);
    expect(ports.logs.opened.filter(({ closed }) => !closed)).toEqual([]);
  }
}
