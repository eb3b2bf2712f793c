/** The accounts in force. */
import type { Account, AccountBase } from "../../core/policy-rules.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";
import { fileIdentity } from "./accounts.ts";

export class KnownAccounts {
  /** Replaced when the policy is reloaded. */
  base: AccountBase;

  constructor(base: AccountBase) {
    this.base = base;
  }

  /** The identity of an account for access to files. */
  identity(account: Account): FileIdentity {
    return fileIdentity(account, this.base);
  }

  /**
   * The gid of the web server's group; where the supervisor is not root, its own gid.
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
