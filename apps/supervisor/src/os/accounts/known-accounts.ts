/** The accounts in force, for everything that acts as one of them. */
import type { Account, AccountBase } from "../../core/policy-rules.ts";
import type { FileIdentity } from "../kernel/libc.ts";
import { privileged } from "../kernel/privileges.ts";
import { fileIdentity } from "./accounts.ts";

export class KnownAccounts {
  /** As last read; replaced when the policy is reloaded. */
  base: AccountBase;

  constructor(base: AccountBase) {
    this.base = base;
  }

  /** How the kernel sees an account that touches files. */
  identity(account: Account): FileIdentity {
    return fileIdentity(account, this.base);
  }

  /**
   * Number of the web server's group; without root's powers, the supervisor's own.
   * @throws Error where there is no such group
   */
  groupId(name: string): number {
    if (!privileged) return process.getegid?.() ?? 0;
    const group = this.base.groups.get(name);
    if (group) return group.gid;
    throw new Error(
      `there is no group "${name}" for the web server; create it (groupadd --system ${name}) or set nginx-group`,
    );
  }
}
