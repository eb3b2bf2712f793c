/** Measures so many sleeping sites: `node scale-run.ts SITES`, in a separate mount namespace. Prints the measures as JSON. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { ask } from "../system/control-api.ts";
import { isRunning, ticksOf } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { childrenOf, pssOf, SHIPPED_SUPERVISOR } from "./peer.ts";
import { ScaleStage } from "./scale-stage.ts";

const SIGNALS = 500;
/** Ticks in a second (sysconf(3)). */
const TICKS = 100;

/** A step: time on the clock, and processor time of the supervisor and its shim, in s. */
interface Step {
  readonly name: string;
  readonly took: number;
  readonly used: number;
}
export interface Measures {
  /** Sites that have a host. */
  readonly hosts: number;
  readonly steps: readonly Step[];
  /** PSS in MB. */
  readonly memory: Readonly<Record<"supervisor" | "shim" | "nginx", number>>;
  readonly reloads: number;
}

const familyOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(familyOf)];
const seconds = (pid: number | undefined): number => (pid !== undefined && isRunning(pid) ? ticksOf(pid) / TICKS : 0);
/** In ms. */
const SAMPLES = 100;
const megabytes = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + pssOf(pid), 0) / 1024;

class ScaleRun {
  readonly #sites: number;
  readonly #stage: ScaleStage;
  readonly #supervisor: Supervisor;
  readonly #web: WebServer;
  readonly #steps: Step[] = [];
  #shim: number | undefined;

  private constructor(sites: number, stage: ScaleStage, web: WebServer) {
    this.#sites = sites;
    this.#stage = stage;
    this.#web = web;
    const directory = join(stage.directory, "ours");
    mkdirSync(directory, { mode: 0o755 });
    for (const part of ["run", "fastcgi"]) stage.mountMemory(join(directory, part));
    const flags = [...web.flags, "--log-level", "info"];
    this.#supervisor = new Supervisor(directory, { ...SHIPPED_SUPERVISOR, flags });
    writeFileSync(this.#supervisor.config, `${stage.policy.join("\n")}\n`);
  }

  static async measure(sites: number): Promise<Measures> {
    const stage = new ScaleStage(sites);
    let run: ScaleRun | undefined;
    try {
      run = new ScaleRun(sites, stage, await WebServer.make(stage.directory, stage.web));
      await run.#web.start();
      return await run.#measure();
    } finally {
      if (run) {
        await run.#supervisor.remove();
        await run.#web.stop();
      }
      stage.remove();
    }
  }

  async #measure(): Promise<Measures> {
    const supervisor = this.#supervisor;
    await this.#step("start, until all sites sleep", () => this.#start());
    await this.#step("first sites in force", () => this.#inForce("site3.t0.example.org"));
    await this.#step("rescan, nothing changed", () => this.#rescan());
    this.#stage.writeSite(5, "changed");
    await this.#step("rescan, one site changed", () => this.#rescan());
    await this.#inForce("changed.t1.example.org");
    await this.#step("reload by SIGHUP", () => this.#reload());
    const before = this.#reloads();
    await this.#step(`${SIGNALS} SIGHUPs, until the API answers`, async () => {
      for (let sent = 0; sent < SIGNALS; sent += 1) {
        supervisor.signal("SIGHUP");
        await sleep(1);
      }
      await this.#answers();
    });
    await this.#step("... until they are carried out", () => this.#quiet());
    const reloads = this.#reloads() - before;
    this.#stage.writeSite(9, "changed");
    await this.#step("changed conf file, until in force", () => this.#inForce("changed.t2.example.org"));
    const memory = await this.#memory();
    await this.#step("start after kill -9", async () => {
      await supervisor.end("SIGKILL");
      await this.#start();
    });
    await this.#step("shutdown", async () => {
      const code = await supervisor.end("SIGTERM");
      if (code !== 0) throw new Error(`the supervisor ended with ${code}`);
    });
    return { hosts: this.#stage.hosts, steps: this.#steps, memory, reloads };
  }

  async #step(name: string, work: () => Promise<unknown>): Promise<void> {
    const before = new Map(this.#processes().map((pid) => [pid, seconds(pid)]));
    const after = new Map(before);
    const sample = (): void => {
      // A process that ends takes its times along.
      for (const pid of this.#processes()) after.set(pid, Math.max(after.get(pid) ?? 0, seconds(pid)));
    };
    const sampling = setInterval(sample, SAMPLES);
    const begun = performance.now();
    await work();
    const took = (performance.now() - begun) / 1000;
    clearInterval(sampling);
    sample();
    const used = [...after].reduce((sum, [pid, end]) => sum + end - (before.get(pid) ?? 0), 0);
    this.#steps.push({ name, took, used });
  }

  #processes(): number[] {
    const { pid } = this.#supervisor;
    this.#shim = this.#shim !== undefined && isRunning(this.#shim) ? this.#shim : this.#supervisor.shim;
    return [pid, this.#shim ?? 0].filter((each) => each > 0);
  }

  #ask(method: string, path: string): Promise<unknown> {
    return until(`${method} ${path}`, () =>
      ask(this.#supervisor.socket, method, path).then(({ status, body }) => status === 200 && { body }),
    ).then(({ body }) => body);
  }

  async #start(): Promise<void> {
    this.#supervisor.spawn();
    await this.#answers();
    await until("sleeping sites", async () => {
      const { daemons } = (await this.#ask("GET", "/v1/daemons")) as DaemonList;
      return daemons.length === this.#sites && daemons.every(({ state }) => state === "asleep");
    });
  }

  /** Waits until the API answers, however long that takes. */
  async #answers(): Promise<void> {
    await until("an answer of the API", () =>
      ask(this.#supervisor.socket, "GET", "/v1/health").then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  }

  #rescan(): Promise<unknown> {
    return this.#ask("POST", "/v1/rescan");
  }

  /** Number of the reloads so far. */
  #reloads(): number {
    return this.#supervisor.text().split('"msg":"conf files read again"').length - 1;
  }

  async #reload(): Promise<void> {
    const before = this.#reloads();
    this.#supervisor.signal("SIGHUP");
    await until("a reload", () => this.#reloads() > before);
  }

  /** Waits until the supervisor has used no processor time for a second. */
  async #quiet(): Promise<void> {
    const { pid } = this.#supervisor;
    await until("a supervisor at rest", async () => {
      const before = ticksOf(pid);
      await sleep(1000);
      return ticksOf(pid) - before < 10;
    });
  }

  /** Waits until all workers of Nginx have a host. */
  async #inForce(host: string): Promise<void> {
    const path = join(this.#web.directory, "accepted/served");
    let seen = 0;
    await until(`${host} in force`, () => {
      const { ino } = statSync(path);
      if (ino === seen) return false;
      seen = ino;
      return readFileSync(path, "utf8").includes(` ${host};`);
    });
  }

  async #memory(): Promise<Measures["memory"]> {
    const { pid, shim = 0 } = this.#supervisor;
    await this.#quiet();
    await sleep(12_000);
    const nginx = familyOf(this.#web.pid);
    return { supervisor: megabytes([pid]), shim: megabytes([shim]), nginx: megabytes(nginx) };
  }
}

console.log(JSON.stringify(await ScaleRun.measure(Number(process.argv[2]))));
