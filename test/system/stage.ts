/** What one test file makes of this machine: a directory, groups, accounts, supervisors; and takes away again. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Account, makeGroup, nameFor, removeGroup } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import { removeLeftovers } from "./leftovers.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";

/** Root's own, as all above it: where a supervisor may be told to keep root's daemons. */
export const STAGES = "/var/lib";

export class Stage {
  /** Root's own, as all above it, but all may pass through it. */
  readonly directory: string;
  readonly #accounts: Account[] = [];
  readonly #groups: string[] = [];
  readonly #supervisors: Supervisor[] = [];

  constructor() {
    this.directory = mkdtempSync(`${join(STAGES, nameFor(""))}`);
    chmodSync(this.directory, 0o755);
    mkdirSync(join(this.directory, "home"), { mode: 0o755 });
  }

  /** An empty stage. What runs that were cut off have left behind is taken away first. */
  static async make(): Promise<Stage> {
    await removeLeftovers(STAGES);
    return new Stage();
  }

  /** Makes a group; gives its gid. Its name is nameFor(short). */
  async group(short: string): Promise<number> {
    const gid = await makeGroup(short);
    this.#groups.push(short);
    return gid;
  }

  /** Makes an account that is a member of these groups of the stage, too. */
  async account(short: string, ...groups: string[]): Promise<Account> {
    const account = await Account.make(short, join(this.directory, "home"), groups.map(nameFor));
    this.#accounts.push(account);
    return account;
  }

  /** Makes an account of exactly this name (Account.makeExactly). */
  async namedAccount(name: string): Promise<Account> {
    const account = await Account.makeExactly(name, join(this.directory, "home"));
    this.#accounts.push(account);
    return account;
  }

  /** A supervisor with a policy of these lines; it does not run yet. */
  supervisor(name: string, policy: readonly string[], options: SupervisorOptions = {}): Supervisor {
    const directory = join(this.directory, name);
    mkdirSync(directory, { mode: 0o755 });
    const supervisor = new Supervisor(directory, options);
    this.writePolicy(supervisor, policy);
    this.#supervisors.push(supervisor);
    return supervisor;
  }

  /** Replaces a supervisor's policy; root's daemons are kept inside the stage. */
  writePolicy(supervisor: Supervisor, lines: readonly string[]): void {
    const own = [
      "[settings]",
      `daemon-path-daemon-root = ${join(this.directory, "root-daemons")}`,
      `service-path-root = ${join(this.directory, "root-service")}`,
      `daemon-path-log-root = ${join(this.directory, "root-logs")}`,
    ];
    writeFileSync(supervisor.config, `${[...own, ...lines].join("\n")}\n`, { mode: 0o644 });
  }

  /** Ends and removes all of it, whatever state it is in. */
  async remove(): Promise<void> {
    const troubles: unknown[] = [];
    const attempt = async (work: () => unknown): Promise<void> => {
      try {
        await work();
      } catch (error) {
        troubles.push(error);
      }
    };
    for (const supervisor of this.#supervisors) {
      await attempt(() => supervisor.end("SIGKILL"));
      await attempt(() => removeCgroups((name) => name === supervisor.cgroup));
    }
    for (const account of this.#accounts) await attempt(() => account.remove());
    for (const group of this.#groups) await attempt(() => removeGroup(nameFor(group)));
    rmSync(this.directory, { recursive: true, force: true });
    if (troubles.length > 0) throw new AggregateError(troubles, "the stage could not be cleared");
  }
}
