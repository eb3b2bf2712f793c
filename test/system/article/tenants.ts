/** The accounts of the article's policy, and the end of what its daemons run as www-data. */
import { readlinkSync } from "node:fs";
import type { Account } from "../account.ts";
import { allProcesses, isRunning, kill } from "../proc.ts";
import { until } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";

export const NAMES = ["david", "michaelc", "amy", "joann", "jim", "greenfelt", "bill"] as const;
export type Name = (typeof NAMES)[number];
export type Tenants = Readonly<Record<Name, Account>>;

/** How long the making of the accounts may wait for another run of the tests that has them, in ms. */
export const PATIENCE = 300_000;

/** Makes all of them. */
export const makeTenants = async (stage: Stage): Promise<Tenants> => {
  const made = new Map<string, Account>();
  for (const name of NAMES) made.set(name, await stage.namedAccount(name));
  return Object.fromEntries(made) as Tenants;
};

/** Ends the supervisor and its daemons, and after them what still runs in the stage, whatever its account. */
export const endDaemons = async (stage: Stage, supervisor: Supervisor | undefined): Promise<void> => {
  if (supervisor && isRunning(supervisor.pid)) {
    supervisor.signal("SIGTERM");
    await until("the end of the supervisor", () => !isRunning(supervisor.pid), 30).catch(() => undefined);
    await supervisor.end("SIGKILL");
  }
  for (const pid of allProcesses()) {
    try {
      if (readlinkSync(`/proc/${pid}/cwd`).startsWith(`${stage.directory}/`)) kill(pid);
    } catch {
      // It has ended meanwhile.
    }
  }
};
