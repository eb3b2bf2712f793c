/** Admission: whether a daemon may run, and by which terms, by the policy in force, its conf file and its owner's other daemons. */
import { budgetLimits } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { enforcement, strictObjection } from "../core/enforcement.ts";
import { alive, type Block } from "../core/lifecycle.ts";
import type { Policy } from "../core/policy.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";
import { objection } from "../launch/plan.ts";
import type { Daemon } from "./daemon.ts";
import type { MachineFacts } from "./ports/machine-facts.ts";

/** A policy, and the accounts that it was resolved with. */
export interface PolicyInForce {
  readonly policy: Policy;
  readonly accounts: AccountBase;
  /** The only owner, where the supervisor cannot act as other accounts. */
  readonly soleOwner: string | undefined;
}

/** The owners whose daemons the supervisor keeps. */
export const ownersOf = ({ policy, soleOwner }: PolicyInForce): readonly string[] =>
  soleOwner === undefined ? policy.owners() : policy.owners().filter((owner) => owner === soleOwner);

/** Whether the supervisor keeps the daemons of this account. */
export const isOwner = ({ policy, soleOwner }: PolicyInForce, user: string): boolean =>
  policy.isOwner(user) && (soleOwner === undefined || user === soleOwner);

/** Instances of all daemons of one owner at most: each costs processes that no budget counts. */
export const MOST_INSTANCES = 512;

/** Number of its instances that are no longer active and whose runs still live. */
const drainingOf = (daemon: Daemon): number =>
  daemon.instances().filter(({ retiring, state }) => retiring && alive(state)).length;

export class Admission {
  readonly #inForce: PolicyInForce;
  readonly #machine: Pick<MachineFacts, "means" | "containerObjection">;
  readonly #ofOwner: (owner: string) => readonly Daemon[];

  /** @param ofOwner the daemons of an owner, in the order in which they were found */
  constructor(
    inForce: PolicyInForce,
    machine: Pick<MachineFacts, "means" | "containerObjection">,
    ofOwner: (owner: string) => readonly Daemon[],
  ) {
    this.#inForce = inForce;
    this.#machine = machine;
    this.#ofOwner = ofOwner;
  }

  /** Why the present runs of a daemon must end, whatever its conf file says now; undefined where they may stay. */
  present(daemon: Daemon, { account, definition }: Terms): Block | undefined {
    const { owner } = daemon.key;
    return (
      this.#exclusion(owner.name) ??
      this.#refusal(owner.name, account.name) ??
      this.#containerRefusal(owner.name, definition, account) ??
      this.#excess(daemon, definition, account, 0)
    );
  }

  /** The terms of a daemon by its conf file, or why it must not run. */
  terms(daemon: Daemon, file = daemon.file): Terms | Block {
    const { policy, accounts } = this.#inForce;
    const { owner } = daemon.key;
    const excluded = this.#exclusion(owner.name);
    if (excluded) return excluded;
    const { definition, errors, fingerprint } = file;
    if (!definition) return { kind: "invalid", reason: errors[0] ?? `${file.path}: it defines nothing` };
    const user = definition.user ?? owner.name;
    const refusal = this.#refusal(owner.name, user);
    const account = accounts.users.get(user);
    const paths = policy.paths(owner.name);
    if (refusal || !account || !paths) return refusal ?? { kind: "forbidden", reason: `there is no account "${user}"` };
    const refused = objection({ definition, privileged: this.#inForce.soleOwner === undefined });
    if (refused !== undefined) return { kind: "forbidden", reason: refused };
    const unusable = this.#containerRefusal(owner.name, definition, account);
    if (unusable) return unusable;
    const excess = this.#excess(daemon, definition, account, drainingOf(daemon));
    if (excess) return excess;
    const nginxGroup = policy.settings.nginxGroup;
    return { definition, fingerprint, account, logDirectory: `${paths.logs}/${daemon.key.name}`, nginxGroup };
  }

  /** Why this account may run no daemons; undefined where it may. */
  #exclusion(owner: string): Block | undefined {
    if (isOwner(this.#inForce, owner)) return undefined;
    const reason = `the policy does not let ${owner} run daemons; root grants it in [runs_as]`;
    return { kind: "forbidden", reason, bans: "owner" };
  }

  /** Why a daemon of this owner must not run as `user`; undefined where it may. */
  #refusal(owner: string, user: string): Block | undefined {
    const { policy, soleOwner } = this.#inForce;
    if (soleOwner !== undefined && user !== soleOwner) {
      const because = `this supervisor is not root and runs daemons only as ${soleOwner}`;
      return { kind: "forbidden", reason: `it may not run as "${user}": ${because}` };
    }
    const { allowed, because } = policy.mayRunAs(owner, user);
    return allowed ? undefined : { kind: "forbidden", reason: `it may not run as "${user}": ${because}` };
  }

  /** Why it cannot run in its container; undefined where it can, or has none. */
  #containerRefusal(owner: string, { image, network }: Definition, account: Account): Block | undefined {
    if (image === undefined) return undefined;
    const { containerObjection } = this.#machine;
    if (containerObjection !== undefined) return { kind: "invalid", reason: `image=: ${containerObjection}` };
    if (account.uid === 0)
      return { kind: "forbidden", reason: "image=: no container runs as root; set user= to another account" };
    const { policy } = this.#inForce;
    const decisions = [policy.mayUseImage(owner, image), ...(network === "none" ? [] : [policy.mayConnectOut(owner)])];
    const refusal = decisions.find(({ allowed }) => !allowed);
    return refusal && { kind: "forbidden", reason: refusal.because };
  }

  /** Why it exceeds its owner's budget, or its limits would not be enforced; undefined where neither is so. */
  #excess(daemon: Daemon, own: Definition, user: Account, draining: number): Block | undefined {
    const reason =
      this.#crowded(daemon) ??
      this.excessInstances(daemon, own.instances, draining) ??
      this.#unenforced(daemon, own, user);
    return reason === undefined ? undefined : { kind: "forbidden", reason };
  }

  /** Why it exceeds the number of daemons that its owner may have. Those that were found first count first. */
  #crowded(daemon: Daemon): string | undefined {
    const owner = daemon.key.owner.name;
    const { daemons } = this.#inForce.policy.budget(owner);
    if (!daemons) return undefined;
    const before = this.#ofOwner(owner).filter(({ removed }) => !removed);
    if (before.indexOf(daemon) < daemons.amount) return undefined;
    return `${owner} may have ${daemons.amount} daemons, and this one exceeds that; root sets the limit in [limits], line ${daemons.line}`;
  }

  /** Why that many instances of it exceed what its owner may have; undefined where they do not. */
  excessInstances(daemon: Daemon, size: number, draining = drainingOf(daemon)): string | undefined {
    if (size === 1) return undefined;
    const owner = daemon.key.owner.name;
    const others = this.#ofOwner(owner).filter((other) => other !== daemon && !other.state.block);
    const taken = others.reduce((sum, other) => sum + other.size, 0);
    if (taken + draining + size <= MOST_INSTANCES) return undefined;
    const rest = draining === 0 ? "" : `, and ${draining} of this one are draining`;
    return `the daemons of ${owner} may have ${MOST_INSTANCES} instances together; the others have ${taken}${rest}: request fewer`;
  }

  /** Why its limits are not enforced as strictly as the policy demands. */
  #unenforced(daemon: Daemon, own: Definition, user: Account): string | undefined {
    if (this.#inForce.policy.settings.strictLimits !== "yes") return undefined;
    const budget = budgetLimits(this.#inForce.policy.budget(daemon.key.owner.name));
    const { means } = this.#machine;
    return strictObjection(
      enforcement({ own, budget, launched: undefined, contained: own.image !== undefined, user }, means),
      means,
    );
  }
}
