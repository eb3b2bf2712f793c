/** Loads the policy: the policy file, resolved with the machine's accounts. */
import { parsePolicy } from "../conf/policy-file.ts";
import { describeProblem } from "../core/definition.ts";
import { resolvePolicy } from "../core/policy.ts";
import type { PolicyInForce } from "../engine/admission.ts";
import { readAccounts } from "../os/accounts/accounts.ts";
import { readPolicyFile } from "../os/files/policy-file.ts";
import { privileged } from "../os/kernel/privileges.ts";

/** A policy, and problems with lines of its file that do not refuse it, each `path:line: text`. */
export interface LoadedPolicy {
  readonly inForce: PolicyInForce;
  readonly problems: readonly string[];
}

/**
 * Reads the policy file and the accounts.
 * @throws Error with a line for each problem, when the file is refused
 */
export const loadPolicy = (path: string): LoadedPolicy => {
  const parsed = parsePolicy(readPolicyFile(path));
  const describe = (problem: { line: number; text: string }) => describeProblem(path, problem);
  if (parsed.value === undefined) throw new Error(parsed.errors.map(describe).join("\n"));
  const { runsAs, manages, hosts, limits } = parsed.value;
  const subjects = [
    ...[...runsAs, ...manages].flatMap(({ left, right }) => [left, ...right]),
    ...hosts.map(({ left }) => left),
    ...limits.flatMap(({ left }) => (left === "everyone" ? [] : left)),
  ];
  const namesOf = (kind: "user" | "group") =>
    subjects.filter((subject) => subject.kind === kind).map(({ name }) => name);
  const accounts = readAccounts({ users: namesOf("user"), groups: namesOf("group") });
  const { policy, problems } = resolvePolicy(parsed.value, accounts);
  const uid = process.geteuid?.();
  const self = [...accounts.users.values()].find((account) => account.uid === uid)?.name;
  const soleOwner = privileged ? undefined : (self ?? "");
  const shared = privileged ? policy.sharedTargets() : [];
  return {
    inForce: { policy, accounts, soleOwner },
    problems: [
      ...[...parsed.warnings, ...problems].map(describe),
      ...shared.map(
        ({ target, owners }) =>
          `${path}: ${owners.join(", ")} may all run daemons as ${target}, so can read and stop each other's`,
      ),
    ],
  };
};
