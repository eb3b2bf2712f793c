/** A test file's resources on this machine: a directory, groups, accounts and supervisors; and their removal. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Account, makeGroup, nameFor, removeGroup } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import { removeLeftovers } from "./leftovers.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";

/** Directory of the stages. Only root can write to it and its parents, as the supervisor requires for root's daemons. */
export const STAGES = "/var/lib";

export class Stage {
  /** Only root can write to it and its parents; every account can pass through it. */
  readonly directory: string;
  readonly #accounts: Account[] = [];
  readonly #groups: string[] = [];
  readonly #supervisors: Supervisor[] = [];

  constructor() {
    this.directory = mkdtempSync(`${join(STAGES, nameFor(""))}`);
    chmodSync(this.directory, 0o755);
    mkdirSync(join(this.directory, "home"), { mode: 0o755 });
  }

  /** Removes what aborted test runs have left, and makes an empty stage. */
  static async make(): Promise<Stage> {
    await removeLeftovers(STAGES);
    return new Stage();
  }

  /** Makes the group nameFor(short); returns its gid. */
  async group(short: string): Promise<number> {
    const gid = await makeGroup(short);
    this.#groups.push(short);
    return gid;
  }

  /** Makes the account nameFor(short), which is also a member of these groups of the stage. */
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

  /** Makes a supervisor with a policy of these lines; it does not run yet. */
  supervisor(name: string, policy: readonly string[], options: SupervisorOptions = {}): Supervisor {
    const directory = join(this.directory, name);
    mkdirSync(directory, { mode: 0o755 });
    const supervisor = new Supervisor(directory, options);
    this.writePolicy(supervisor, policy);
    this.#supervisors.push(supervisor);
    return supervisor;
  }

  /** Replaces a supervisor's policy; root's daemons stay inside the stage. */
  writePolicy(supervisor: Supervisor, lines: readonly string[]): void {
    const own = [
      "[settings]",
      `daemon-path-daemon-root = ${join(this.directory, "root-daemons")}`,
      `service-path-root = ${join(this.directory, "root-service")}`,
      `daemon-path-log-root = ${join(this.directory, "root-logs")}`,
      // The default group may not exist on this machine.
      ...(lines.some((line) => line.startsWith("nginx-group")) ? [] : ["nginx-group = nogroup"]),
    ];
    writeFileSync(supervisor.config, `${[...own, ...lines].join("\n")}\n`, { mode: 0o644 });
  }

  /** Ends and removes everything, in any state. */
  async remove(): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async (work: () => unknown): Promise<void> => {
      try {
        await work();
      } catch (error) {
        errors.push(error);
      }
    };
    for (const supervisor of this.#supervisors) {
      await attempt(() => supervisor.remove());
      await attempt(() => removeCgroups((name) => name === supervisor.cgroup));
    }
    for (const account of this.#accounts) await attempt(() => account.remove());
    for (const group of this.#groups) await attempt(() => removeGroup(nameFor(group)));
    rmSync(this.directory, { recursive: true, force: true });
    if (errors.length > 0) throw new AggregateError(errors, "the stage could not be cleared");
  }
}
