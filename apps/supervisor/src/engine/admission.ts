/** Whether a daemon may run, and as what: its file, held against the policy in force and its owner's other daemons. */
import { budgetAllowance } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { enforcement, type Means, strictObjection } from "../core/enforcement.ts";
import type { Block } from "../core/lifecycle.ts";
import type { Policy } from "../core/policy.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";
import { objection } from "../launch/plan.ts";
import type { Daemon } from "./daemon.ts";

/** The policy in force, with the accounts that it was resolved against. */
export interface Rule {
  readonly policy: Policy;
  readonly accounts: AccountBase;
  /** The only owner, where the supervisor has no power over other accounts. */
  readonly soleOwner: string | undefined;
}

/** Those whose daemons are kept. */
export const ownersOf = ({ policy, soleOwner }: Rule): readonly string[] =>
  soleOwner === undefined ? policy.owners() : policy.owners().filter((owner) => owner === soleOwner);

/** Instances that the daemons of one owner may have together; each costs processes that no budget of the policy counts. */
const MOST_INSTANCES = 512;

export class Admission {
  readonly #rule: Rule;
  readonly #means: Means;
  readonly #ofOwner: (owner: string) => readonly Daemon[];

  /** @param ofOwner the daemons of an owner, those that were found first first */
  constructor(rule: Rule, means: Means, ofOwner: (owner: string) => readonly Daemon[]) {
    this.#rule = rule;
    this.#means = means;
    this.#ofOwner = ofOwner;
  }

  /** Why a daemon that lives may not go on, whatever its file says by now, if it may not. */
  present(daemon: Daemon, { account, definition }: Terms): Block | undefined {
    const { owner } = daemon.key;
    return (
      this.#exclusion(owner.name) ??
      this.#refusal(owner.name, account.name) ??
      this.#excess(daemon, definition, account)
    );
  }

  /** What it is to be made of, if it may run by this file. */
  terms(daemon: Daemon, file = daemon.file): Terms | Block {
    const { policy, accounts } = this.#rule;
    const { owner } = daemon.key;
    const excluded = this.#exclusion(owner.name);
    if (excluded) return excluded;
    const { definition, errors, fingerprint } = file;
    if (!definition) return { kind: "invalid", reason: errors[0] ?? "its file is empty" };
    const user = definition.user ?? owner.name;
    const refusal = this.#refusal(owner.name, user);
    const account = accounts.users.get(user);
    const paths = policy.paths(owner.name);
    if (refusal || !account || !paths) return refusal ?? { kind: "forbidden", reason: `there is no account "${user}"` };
    const refused = objection({ definition, privileged: this.#rule.soleOwner === undefined });
    if (refused !== undefined) return { kind: "forbidden", reason: refused };
    const excess = this.#excess(daemon, definition, account);
    if (excess) return excess;
    const nginxGroup = policy.settings.nginxGroup;
    return { definition, fingerprint, account, logDirectory: `${paths.logs}/${daemon.key.name}`, nginxGroup };
  }

  /** Why this owner may run no daemons at all, if they may not. */
  #exclusion(owner: string): Block | undefined {
    if (ownersOf(this.#rule).includes(owner)) return undefined;
    const reason = `the policy does not let ${owner} run daemons; root grants it in [runs_as]`;
    return { kind: "forbidden", reason, bans: "owner" };
  }

  /** Why a daemon of this owner may not run as `user`, if it may not. */
  #refusal(owner: string, user: string): Block | undefined {
    const { policy, soleOwner } = this.#rule;
    if (soleOwner !== undefined && user !== soleOwner) {
      const because = `this supervisor runs without root's powers, so only as ${soleOwner}`;
      return { kind: "forbidden", reason: `it may not run as "${user}": ${because}` };
    }
    const { allowed, because } = policy.mayRunAs(owner, user);
    return allowed ? undefined : { kind: "forbidden", reason: `it may not run as "${user}": ${because}` };
  }

  /** Why it goes beyond what its owner may have, or its limits would not hold, if that is so. */
  #excess(daemon: Daemon, own: Definition, user: Account): Block | undefined {
    const reason = this.#crowded(daemon) ?? this.manifold(daemon, own.instances) ?? this.#loose(daemon, own, user);
    return reason === undefined ? undefined : { kind: "forbidden", reason };
  }

  /** Why it is one too many of its owner's; those that were found first come first. */
  #crowded(daemon: Daemon): string | undefined {
    const owner = daemon.key.owner.name;
    const { daemons } = this.#rule.policy.budget(owner);
    if (!daemons) return undefined;
    const before = this.#ofOwner(owner).filter(({ removed }) => !removed);
    if (before.indexOf(daemon) < daemons.amount) return undefined;
    return `${owner} may have ${daemons.amount} daemons, and this is one more; root grants them in [limits], line ${daemons.line}`;
  }

  /** Why that many instances of it are more than its owner may have, if they are. */
  manifold(daemon: Daemon, size: number): string | undefined {
    const owner = daemon.key.owner.name;
    const others = this.#ofOwner(owner).filter((other) => other !== daemon && !other.state.block);
    const taken = others.reduce((sum, other) => sum + other.size, 0);
    if (size === 1 || taken + size <= MOST_INSTANCES) return undefined;
    return `${owner}'s daemons may have ${MOST_INSTANCES} instances together, and the others have ${taken}; ask for fewer`;
  }

  /** Why its limits are not as strict as the policy wants them. */
  #loose(daemon: Daemon, own: Definition, user: Account): string | undefined {
    if (this.#rule.policy.settings.strictLimits !== "yes") return undefined;
    const budget = budgetAllowance(this.#rule.policy.budget(daemon.key.owner.name));
    return strictObjection(enforcement({ own, budget, launched: undefined, user }, this.#means), this.#means);
  }
}
