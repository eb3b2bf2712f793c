/** Accounts of the article's policy, and the removal of processes that its daemons run as www-data. */
import { readlinkSync } from "node:fs";
import type { Account } from "../account.ts";
import { allProcesses, isRunning, kill } from "../proc.ts";
import { until } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";

export const NAMES = ["david", "michaelc", "amy", "joann", "jim", "greenfelt", "bill"] as const;
export type Name = (typeof NAMES)[number];
export type Tenants = Readonly<Record<Name, Account>>;

/** Timeout in ms: making the accounts may wait for another test run that has them. */
export const PATIENCE = 300_000;

/** Makes all accounts. */
export const makeTenants = async (stage: Stage): Promise<Tenants> => {
  const made = new Map<string, Account>();
  for (const name of NAMES) made.set(name, await stage.namedAccount(name));
  return Object.fromEntries(made) as Tenants;
};

/** Ends the supervisor and its daemons, and kills every process that still runs in the stage, of any account. */
export const endDaemons = async (stage: Stage, supervisor: Supervisor | undefined): Promise<void> => {
  if (supervisor && isRunning(supervisor.pid)) {
    supervisor.signal("SIGTERM");
    await until("exit of the supervisor", () => !isRunning(supervisor.pid), 30).catch(() => undefined);
    await supervisor.end("SIGKILL");
  }
  for (const pid of allProcesses()) {
    try {
      if (readlinkSync(`/proc/${pid}/cwd`).startsWith(`${stage.directory}/`)) kill(pid);
    } catch {
      // The process has ended.
    }
  }
};
