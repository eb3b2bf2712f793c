/** Policies and accounts for tests, written as text. */
import { parsePolicy } from "../conf/policy-file.ts";
import { type Policy, resolvePolicy } from "./policy.ts";
import type { Account, AccountBase, PolicyRules } from "./policy-rules.ts";

/** Accounts written `name:uid:gid`, home /home/<name>; groups written `name:gid:member,member`. */
export function machine(users: string, groups = ""): AccountBase {
  const words = (text: string): string[] => text.split(" ").filter((word) => word !== "");
  return {
    users: new Map(
      words(users).map((word): [string, Account] => {
        const [name = "", uid = "", gid = uid] = word.split(":");
        const home = name === "root" ? "/root" : `/home/${name}`;
        return [name, { name, uid: Number(uid), gid: Number(gid), home, shell: "/bin/sh" }];
      }),
    ),
    groups: new Map(
      words(groups).map((word) => {
        const [name = "", gid = "", members = ""] = word.split(":");
        return [name, { gid: Number(gid), members: members.split(",").filter((member) => member !== "") }];
      }),
    ),
  };
}

export function rulesOf(text: string): PolicyRules {
  const { value, errors } = parsePolicy(text);
  if (value === undefined) throw new Error(JSON.stringify(errors));
  return value;
}

export function resolved(text: string, accounts: AccountBase): { policy: Policy; problems: string[] } {
  const { policy, problems } = resolvePolicy(rulesOf(text), accounts);
  return { policy, problems: problems.map((problem) => `${problem.line}: ${problem.text}`) };
}
