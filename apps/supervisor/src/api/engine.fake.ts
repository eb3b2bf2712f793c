/** A small engine and its surroundings for tests of the API, and clients over a real socket. */

import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Health } from "@dmhost/contract";
import { parsePolicy } from "../conf/policy-file.ts";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { alive, initial, type State } from "../core/lifecycle.ts";
import { type Policy, resolvePolicy } from "../core/policy.ts";
import type { Account } from "../core/policy-rules.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { RescanReport } from "../core/rescan-report.ts";
import type { RunUsage } from "../core/run-usage.ts";
import { attachCaller } from "./connection.ts";
import type { ControlledDaemon, ControlledInstance, Engine } from "./engine.ts";
import type { ReadLog } from "./log-tail.ts";
import { createApi, type Surroundings } from "./server.ts";
import type { FoundText } from "./surroundings.ts";

const UIDS: Readonly<Record<string, number>> = { root: 0, amy: 1001, bob: 1002, david: 1003, eve: 1004 };
const accountOf = (name: string, uid: number): Account => ({
  name,
  uid,
  gid: uid,
  home: `/home/${name}`,
  shell: "/bin/sh",
});
const ACCOUNTS = new Map(Object.entries(UIDS).map(([name, uid]) => [name, accountOf(name, uid)]));

/** amy and bob run daemons, david manages amy's, and the policy does not name eve. */
export const POLICY = "[runs_as]\namy: www-data\nbob:\n[manages]\ndavid: amy\n[limits]\namy: processes = 20\n";
/** Where the policy is said to be. */
export const POLICY_FILE = "/etc/daemon-manager.conf";

const policyOf = (text: string): Policy => {
  const { value, errors } = parsePolicy(text);
  if (value === undefined) throw new Error(JSON.stringify(errors));
  const users = new Map([...ACCOUNTS, ["www-data", accountOf("www-data", 33)]]);
  return resolvePolicy(value, { users, groups: new Map() }).policy;
};

/** A usage in which every number is known. */
export const USAGE: RunUsage = {
  memory: 1000,
  memoryPeak: 2000,
  memoryPressure: 1.5,
  processes: 2,
  cpu: 0.5,
  cpuThrottled: 0.25,
  oomKills: 0,
};

/** A daemon whose fields a test changes. */
export type FakeDaemon = { -readonly [K in keyof ControlledDaemon]: ControlledDaemon[K] };

/** What a fake daemon is made of besides its id. */
export interface Traits {
  readonly state?: Partial<State>;
  readonly definition?: Partial<Definition>;
  readonly usage?: RunUsage;
  readonly size?: number;
  readonly file?: Partial<ControlledDaemon["file"]>;
}

const PID = 4711;

/** A daemon of this id, stopped unless its state says otherwise. */
export const fakeDaemon = (id: string, { state, definition, usage, size = 1, file }: Traits = {}): FakeDaemon => {
  const [ownerName = "", name = ""] = id.split("/");
  const owner = ACCOUNTS.get(ownerName) ?? accountOf(ownerName, 2000);
  const defined: Definition = { ...DEFAULTS, start: "exec sleep 1000", output: "log", ...definition };
  const whole: State = { ...initial, ...state };
  const instances: ControlledInstance[] = Array.from({ length: size }, (_, index) => ({
    key: { instance: index + 1 },
    state: whole,
    pid: alive(whole) ? PID + index : 0,
    waiting: "",
    downSince: 0,
    usage: () => usage,
  }));
  const [first] = instances;
  if (first === undefined) throw new Error("a daemon has an instance");
  const path = `${owner.home}/.daemon-manager/daemons/${name}.conf`;
  const logDirectory = `${owner.home}/.daemon-manager/logs/${name}`;
  return {
    key: { owner, name },
    id,
    file: { kind: "conf", path, definition: defined, errors: [], warnings: [], ...file },
    terms: { definition: defined, fingerprint: "1", account: owner, logDirectory, nginxGroup: "www-data" },
    state: whole,
    representative: first,
    hosts: [],
    limits: [],
    means: { controllers: new Set(), why: "" },
    logLoss: { lines: 0, reason: "" },
    logDirectory,
    socketPath: "",
    changed: false,
    oomKilled: 0,
    waiting: "",
    size,
    instances: () => instances,
    signal: () => alive(whole),
  };
};

/** An engine with these daemons. `acts`: what a request does to its daemon, and its result; without one nothing happens. */
export class FakeEngine implements Engine {
  stopping = false;
  policy = policyOf(POLICY);
  readonly all: ControlledDaemon[];
  readonly rescans: (readonly string[])[] = [];
  report: RescanReport = { found: [], started: [], changed: [], removed: [], problems: [], warnings: [] };
  act: (verb: string, daemon: FakeDaemon, size?: number) => RequestResult = () => ({ ok: true });

  constructor(...daemons: ControlledDaemon[]) {
    this.all = daemons;
  }
  owners(): readonly string[] {
    return this.policy.owners();
  }
  owner(name: string): Account | undefined {
    return this.owners().includes(name) ? ACCOUNTS.get(name) : undefined;
  }
  daemons(): readonly ControlledDaemon[] {
    return this.all;
  }
  daemonsOf(owners: readonly string[]): readonly ControlledDaemon[] {
    return this.all.filter(({ key }) => owners.includes(key.owner.name));
  }
  rescan(owners: readonly string[]): RescanReport {
    this.rescans.push(owners);
    return this.report;
  }
  *rescanning(owners: readonly string[]): Generator<undefined, RescanReport> {
    yield;
    return this.rescan(owners);
  }
  start = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("start", daemon);
  once = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("once", daemon);
  stop = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("stop", daemon);
  restart = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("restart", daemon);
  pause = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("pause", daemon);
  continue = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("continue", daemon);
  exit = async (daemon: ControlledDaemon): Promise<RequestResult> => this.act("exit", daemon);
  scale = async (daemon: ControlledDaemon, size: number): Promise<RequestResult> => this.act("scale", daemon, size);
}

/** Health of the supervisor that the fake replaces. */
export const HEALTH: Health = { version: "0", pid: 1, uptime: 1, containment: "cgroup", shim: "current", problem: "" };

/** Surroundings with an empty log and no conf files, changed by `parts`; `internal` collects internal errors. */
export const fakeSurroundings = (
  parts: Partial<Surroundings> = {},
): Surroundings & { readonly internal: unknown[] } => {
  const internal: unknown[] = [];
  return {
    internal,
    now: () => 60_000,
    health: () => HEALTH,
    policyFile: POLICY_FILE,
    effectiveSettings: () => [
      { key: "start", value: "exec sleep 1000", isDefault: false },
      { key: "export PASSWORD", value: "secret", isDefault: false },
    ],
    readLog: async function* () {},
    readConf: (): FoundText => ({ path: "/conf", text: undefined, problem: undefined }),
    checkConf: () => ({ errors: [], warnings: [] }),
    writeConf: () => undefined,
    newConf: (id) => `# ${id}\n`,
    images: async () => [],
    acceptImage: async () => undefined,
    reloadPolicy: async () => [],
    known: async () => undefined,
    inTurns: async (slices) => {
      for (;;) {
        const { done, value } = slices.next();
        if (done) return value;
      }
    },
    policyOwner: 0,
    answered: () => undefined,
    onInternalError: (error) => void internal.push(error),
    ...parts,
  };
};

/** An answer; `body` is parsed, `text` is as it came. */
export interface Answered {
  readonly status: number;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests compare it whole
  readonly body: any;
}

/** A request by the account `caller`, e.g. "GET /v1/health". */
export type Ask = (caller: string, line: string, body?: unknown) => Promise<Answered>;

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** Serves the API until `close`; `ask("amy", "GET /v1/daemons")` is a request by that account. */
export const serve = async (engine: Engine, about: Surroundings): Promise<{ ask: Ask; close: () => Promise<void> }> => {
  const api = await createApi(engine, about);
  const directory = mkdtempSync(join(tmpdir(), "api-"));
  const socketPath = join(directory, "socket");
  let user = "root";
  const server = createServer((socket) => {
    attachCaller(socket, { uid: UIDS[user] ?? 2000, user });
    api.server.emit("connection", socket);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const ask: Ask = (caller, line, body) =>
    new Promise((resolve, reject) => {
      user = caller;
      const [method = "", path = ""] = line.split(" ");
      const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const sent = request({ socketPath, method, path, headers, agent: false }, (answer) => {
        let received = "";
        answer.setEncoding("utf8").on("data", (chunk: string) => {
          received += chunk;
        });
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({ status: answer.statusCode ?? 0, text: received, body: parsed(received) as Answered["body"] }),
        );
      });
      sent.on("error", reject);
      sent.end(text);
    });
  const close = async (): Promise<void> => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  };
  return { ask, close };
};

/** An error of a system call. */
export const errno = (code: string, message: string): Error => Object.assign(new Error(message), { code });

/** A log with these lines. */
export const logOf = (...lines: string[]): ReadLog =>
  async function* () {
    for (const line of lines) yield Buffer.from(`${line}\n`);
  };

/** A log that cannot be read. */
export const brokenLog = (error: Error): ReadLog =>
  // biome-ignore lint/correctness/useYield: it ends before its first line
  async function* () {
    throw error;
  };
