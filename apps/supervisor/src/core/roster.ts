import type { Budget, BudgetKey, Share } from "./budget.ts";
import { NAME, type Problem } from "./definition.ts";
import type { HostPattern } from "./hostname.ts";
import type { ImagePattern } from "./image.ts";
import type { Account, AccountBase, HostRule, ImageRule, LimitRule, Rule, Subject } from "./policy-rules.ts";

/** The owner that every machine has: it runs its own daemons as any account and manages all daemons. */
export const ROOT = "root";

/** The kernel shows it for every uid that a user namespace does not map. */
const OVERFLOW_UID = 65_534;

/** For each name on the left of a section, the names that it is granted and the first line that grants them. */
export type Grants = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** For each name on the left of [hosts], its grants in the order of the file. */
type HostGrants = ReadonlyMap<string, readonly { readonly pattern: HostPattern; readonly line: number }[]>;

/** What an owner is granted in [images], in the order of the file. */
interface ImageGrants {
  readonly images: readonly { readonly pattern: ImagePattern; readonly line: number }[];
  /** First line that grants network=outbound. */
  readonly outbound: number | undefined;
}

/** Finds the accounts that a policy file names, and collects the problems (see resolvePolicy). */
export class Roster {
  readonly #accounts: AccountBase;
  readonly #byGid = new Map<number, Account[]>();
  readonly #problems = new Map<string, Problem>();

  constructor(accounts: AccountBase) {
    this.#accounts = accounts;
    for (const account of accounts.users.values()) {
      const same = this.#byGid.get(account.gid);
      if (same === undefined) this.#byGid.set(account.gid, [account]);
      else same.push(account);
    }
  }

  /** Problems so far, in the order of the file. */
  problems(): readonly Problem[] {
    return [...this.#problems.values()].sort((a, b) => a.line - b.line);
  }

  /** Resolves [runs_as]: every account on the left is also granted itself, and only root an account of uid 0. */
  runsAs(rules: readonly Rule[]): Grants {
    const rows = new Map<string, Map<string, number>>();
    for (const rule of rules) {
      const owners = this.#holders(rule);
      const named = this.#objects(rule);
      const forRootOnly = owners.every((owner) => owner.name === ROOT);
      const targets = forRootOnly ? named : named.filter((target) => this.#isGrantable(target, rule.line));
      for (const owner of owners) {
        // Root needs no grants, so its row must not look like one.
        grant(rows, owner, owner.name === ROOT ? [owner] : [owner, ...targets], rule.line);
      }
    }
    return rows;
  }

  /** Resolves [manages]. */
  manages(rules: readonly Rule[]): Grants {
    const rows = new Map<string, Map<string, number>>();
    for (const rule of rules) {
      const objects = this.#objects(rule);
      for (const caller of this.#holders(rule)) grant(rows, caller, objects, rule.line);
    }
    return rows;
  }

  /**
   * Resolves [limits] into a budget for each owner. For each key the line that names the owner wins, then the first line of
   * one of its groups, then `*`, which means every owner but root.
   */
  limits(rules: readonly LimitRule[], owners: readonly string[]): ReadonlyMap<string, Budget> {
    const ranks = { user: 0, group: 1, everyone: 2 };
    const rankOf = ({ left }: LimitRule): number => ranks[left === "everyone" ? left : left.kind];
    const budgets = new Map<string, { [K in BudgetKey]?: Share }>(owners.map((owner) => [owner, {}]));
    for (const rule of [...rules].sort((a, b) => rankOf(a) - rankOf(b) || a.line - b.line)) {
      const { left, line, amounts } = rule;
      for (const name of this.#owners(left, line, owners)) {
        const budget = budgets.get(name);
        for (const [key, amount] of budget ? amounts : []) if (budget) budget[key] ??= { amount, line };
      }
    }
    return budgets;
  }

  /** Resolves [hosts]. */
  hosts(rules: readonly HostRule[]): HostGrants {
    const rows = new Map<string, { readonly pattern: HostPattern; readonly line: number }[]>();
    for (const rule of rules) {
      for (const { name } of this.#holders(rule)) {
        const row = rows.get(name) ?? [];
        rows.set(name, row);
        row.push(...rule.right.map((pattern) => ({ pattern, line: rule.line })));
      }
    }
    return rows;
  }

  /** Resolves [images]. `*` means every owner but root. */
  images(rules: readonly ImageRule[], owners: readonly string[]): ReadonlyMap<string, ImageGrants> {
    const grants = new Map<string, ImageGrants>();
    for (const { left, line, right, outbound } of rules) {
      for (const owner of this.#owners(left, line, owners)) {
        const before = grants.get(owner);
        grants.set(owner, {
          images: [...(before?.images ?? []), ...right.map((pattern) => ({ pattern, line }))],
          outbound: before?.outbound ?? (outbound ? line : undefined),
        });
      }
    }
    return grants;
  }

  #owners(left: Subject | "everyone", line: number, owners: readonly string[]): readonly string[] {
    if (left === "everyone") return owners.filter((owner) => owner !== ROOT);
    return this.#members(left, line).map(({ name }) => name);
  }

  /** The accounts on the left that may hold a grant. */
  #holders({ left, line }: Pick<Rule, "left" | "line">): readonly Account[] {
    return this.#members(left, line).filter(({ name, uid }) => {
      if (name === ROOT) return true;
      if (uid === 0)
        return this.#report(line, `"${name}" is another name of uid 0: expected root or an ordinary account`);
      if (uid === OVERFLOW_UID) {
        return this.#report(
          line,
          `"${name}" has uid ${uid}, which stands for unmapped accounts: expected another account`,
        );
      }
      if (!NAME.test(name)) {
        return this.#report(line, `"${name}" cannot be an owner: expected a name of letters, digits, "_", "." and "-"`);
      }
      return true;
    });
  }

  #objects({ right, line }: Rule): readonly Account[] {
    return right.flatMap((subject) => this.#members(subject, line));
  }

  #isGrantable({ name, uid }: Account, line: number): boolean {
    return (
      uid !== 0 ||
      this.#report(line, `"${name}" has uid 0: expected another account; only root's own daemons run as root`)
    );
  }

  #members({ kind, name }: Subject, line: number): readonly Account[] {
    if (kind === "user") {
      const account = this.#accounts.users.get(name);
      if (account !== undefined) return [account];
    } else {
      const group = this.#accounts.groups.get(name);
      if (group !== undefined) {
        const listed = group.members.flatMap((member) => this.#accounts.users.get(member) ?? []);
        return [...new Set([...listed, ...(this.#byGid.get(group.gid) ?? [])])];
      }
    }
    this.#report(line, `there is no ${kind} "${name}": expected a ${kind} of this machine`);
    return [];
  }

  /** Reports a skipped entry, once for a line; always false, for filters. */
  #report(line: number, text: string): false {
    this.#problems.set(`${line} ${text}`, { line, text: `${text}; skipped` });
    return false;
  }
}

function grant(
  rows: Map<string, Map<string, number>>,
  holder: Account,
  objects: readonly Account[],
  line: number,
): void {
  const row = rows.get(holder.name) ?? new Map<string, number>();
  rows.set(holder.name, row);
  for (const { name } of objects) if (!row.has(name)) row.set(name, line);
}
