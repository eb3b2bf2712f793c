/** Work of the API outside of the engine: conf files, logs and the policy. */
import { VERSION } from "@dmhost/contract";
import type { Logger } from "pino";
import type { Surroundings } from "../api/server.ts";
import { parseDaemonFile } from "../conf/daemon-file.ts";
import { daemonTemplate } from "../conf/daemon-template.ts";
import { effectiveSettings } from "../conf/effective-settings.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { describeProblem } from "../core/definition.ts";
import type { Policy } from "../core/policy.ts";
import type { Ports } from "../engine/ports/ports.ts";
import { confPath, isConfPath } from "../os/files/conf-dir.ts";
import { makeConfFile, replaceConfFile } from "../os/files/conf-write.ts";
import { readLog } from "../os/logs/reader.ts";
import { type Machine, NO_CONTAINERS } from "./machine.ts";
import { inTurns } from "./pace.ts";

/** Functions of the service that the API calls. */
interface SurroundingsOptions {
  readonly policyFile: string;
  /** Reads policy and accounts again; returns problems. Rejects when the file is refused. */
  readonly reloadPolicy: () => Promise<string[]>;
  /** See Progress. */
  readonly known: (owners: readonly string[] | undefined) => Promise<void>;
  /** Why hosts are pending for long; "" where none is. */
  readonly problem: () => string;
  /** Called before each answer is sent. */
  readonly answered: () => void;
}

type MachineForApi = Pick<Machine, "accounts" | "confs" | "cgroups" | "images" | "shimOutdated"> & {
  readonly ports: Pick<Ports, "clock" | "records">;
};

export const apiSurroundings = (
  supervisor: { readonly policy: Pick<Policy, "paths"> },
  { ports, accounts, confs, cgroups, images, shimOutdated }: MachineForApi,
  log: Pick<Logger, "error">,
  { policyFile, reloadPolicy, known, problem, answered }: SurroundingsOptions,
): Surroundings => {
  const started = Date.now();
  const found = ({ owner, name }: DaemonKey) => {
    const { chain, serviceChain } = supervisor.policy.paths(owner.name) ?? { chain: ["/"], serviceChain: ["/"] };
    return {
      path: confPath(chain.at(-1) ?? "/", name),
      text: confs.text(owner, chain, name) ?? confs.script(owner, serviceChain, name),
    };
  };
  return {
    now: () => ports.clock.now(),
    health: () => ({
      version: VERSION,
      pid: process.pid,
      uptime: Math.round((Date.now() - started) / 1000),
      containment: cgroups.path === undefined ? `sessions (${cgroups.why})` : "cgroup",
      shim: shimOutdated ? "outdated (a restart of the service replaces it and restarts all daemons)" : "current",
      problem: problem(),
    }),
    policyFile,
    effectiveSettings,
    reloadPolicy,
    known,
    inTurns: (work) => inTurns(work),
    policyOwner: process.geteuid?.() ?? 0,
    readLog: ({ key, logDirectory }, from) => readLog(accounts.identity(key.owner), logDirectory ?? "", from),
    readConf: (key) => {
      const { path, text } = found(key);
      return text ?? { path, text: undefined, problem: undefined };
    },
    checkConf: ({ owner }, path, text) => {
      if (!isConfPath(path)) return { errors: [], warnings: [] };
      const { errors, warnings } = parseDaemonFile(text, owner);
      const describe = (problem: { line: number; text: string }) => describeProblem(path, problem);
      return { errors: errors.map(describe), warnings: warnings.map(describe) };
    },
    writeConf: (key, text, what) => {
      const identity = accounts.identity(key.owner);
      const existing = found(key);
      if (what === "make") makeConfFile(identity, existing.path, text);
      else if (existing.text) replaceConfFile(identity, existing.text.path, text);
    },
    newConf: daemonTemplate,
    images: () => images?.images() ?? Promise.reject(new Error(NO_CONTAINERS)),
    acceptImage: (image) => images?.acceptImage(image) ?? Promise.reject(new Error(NO_CONTAINERS)),
    // Every answer, also one about a state, must be true for the next supervisor.
    answered: () => {
      ports.records.flush();
      answered();
    },
    onInternalError: (error, { user }) => log.error({ err: error, caller: user }, "a request failed"),
  };
};
