/** What policy and conf file say about a daemon: read for each request, as nothing is taken from the supervisor but names. */
import { MAX_DAEMON_FILE, parseDaemonFile } from "../../../supervisor/src/conf/daemon-file.ts";
import { parsePolicy } from "../../../supervisor/src/conf/policy-file.ts";
import { groupIds } from "../../../supervisor/src/core/account-groups.ts";
import type { Budget } from "../../../supervisor/src/core/budget.ts";
import { type Definition, describeProblem, NAME } from "../../../supervisor/src/core/definition.ts";
import type { ImageName } from "../../../supervisor/src/core/image.ts";
import { type Policy, type PolicyDecision, resolvePolicy } from "../../../supervisor/src/core/policy.ts";
import type { Account, AccountBase, Subject } from "../../../supervisor/src/core/policy-rules.ts";
import { fileIdentity, readAccounts } from "../../../supervisor/src/os/accounts/accounts.ts";
import { type ConfText, readConfDirectory } from "../../../supervisor/src/os/files/conf-dir.ts";
import { readPolicyFile } from "../../../supervisor/src/os/files/policy-file.ts";
import { ContainerRefusal } from "../rules/refusal.ts";
import { asSupervisor } from "./supervisor-authority.ts";

/** Daemons of one owner that are read at most. */
const MOST_DAEMONS = 256;

/** Whom and what a daemon with an image may be. */
export interface ContainerAdmission {
  readonly image: ImageName;
  readonly definition: Definition;
  /** The run-as account and all of its groups. */
  readonly account: Account;
  readonly groups: readonly number[];
  readonly budget: Budget;
}

/** An image that a conf file names. */
interface UsedImage {
  readonly image: ImageName;
  /** `owner/name`. */
  readonly daemon: string;
}

interface InForce {
  readonly policy: Policy;
  readonly accounts: AccountBase;
}

/** Policy file and conf files as they are now. */
export class Admissions {
  readonly #policyFile: string;
  readonly #peer: number;

  /** @param peer uid of the supervisor, which can read the policy file */
  constructor(policyFile: string, peer: number) {
    this.#policyFile = policyFile;
    this.#peer = peer;
  }

  /**
   * What an owner's daemon may be.
   * @throws ContainerRefusal with what refuses it, and where that is written
   */
  of(owner: string, name: string): ContainerAdmission {
    const inForce = this.#load();
    const { policy, accounts } = inForce;
    const who = this.#ownerOf(inForce, owner);
    const found = this.#read(inForce, who, name).at(0);
    if (found === undefined) throw new ContainerRefusal("refused", `${owner} has no conf file of the name ${name}`);
    const { path } = found;
    const definition = definitionOf(found, who);
    const { image, user = owner, network } = definition;
    if (image === undefined) throw new ContainerRefusal("refused", `${path}: it names no image`);
    this.#require(path, policy.mayRunAs(owner, user), `it may not run as "${user}": `);
    const account = accounts.users.get(user);
    if (account === undefined)
      throw new ContainerRefusal("refused", `${path}: there is no account "${user}" on this machine`);
    if (account.uid === 0)
      throw new ContainerRefusal("refused", `${path}: image=: no container runs as root; set user= to another account`);
    this.#require(path, policy.mayUseImage(owner, image));
    if (network === "outbound") this.#require(path, policy.mayConnectOut(owner));
    return { image, definition, account, groups: groupIds(account, accounts), budget: policy.budget(owner) };
  }

  /** The images that conf files of all owners name. Files with errors name none. */
  used(): UsedImage[] {
    const inForce = this.#load();
    return inForce.policy.owners().flatMap((owner) => {
      const who = inForce.accounts.users.get(owner);
      if (who === undefined) return [];
      return this.#read(inForce, who, undefined).flatMap((found) => {
        const image = found.text === undefined ? undefined : parseDaemonFile(found.text, who).value?.image;
        return image === undefined ? [] : { image, daemon: `${owner}/${found.name}` };
      });
    });
  }

  #load(): InForce {
    try {
      const parsed = parsePolicy(asSupervisor(this.#peer, () => readPolicyFile(this.#policyFile)));
      if (parsed.value === undefined)
        throw new Error(parsed.errors.map((problem) => describeProblem(this.#policyFile, problem)).join("; "));
      const { runsAs, manages, hosts, limits, images } = parsed.value;
      const subjects: Subject[] = [
        ...[...runsAs, ...manages].flatMap(({ left, right }) => [left, ...right]),
        ...[...hosts, ...limits, ...images].flatMap(({ left }) => (left === "everyone" ? [] : left)),
      ];
      const namesOf = (kind: Subject["kind"]) => subjects.filter((each) => each.kind === kind).map(({ name }) => name);
      const accounts = readAccounts({ users: namesOf("user"), groups: namesOf("group") });
      return { policy: resolvePolicy(parsed.value, accounts).policy, accounts };
    } catch (error) {
      throw new ContainerRefusal("refused", error instanceof Error ? error.message : String(error));
    }
  }

  #ownerOf({ policy, accounts }: InForce, owner: string): Account {
    const account = policy.isOwner(owner) ? accounts.users.get(owner) : undefined;
    if (account !== undefined) return account;
    throw new ContainerRefusal("refused", `the policy does not let ${owner} run daemons; root grants it in [runs_as]`);
  }

  /** Conf files of an owner, read as the owner; all without a name. */
  #read({ policy, accounts }: InForce, owner: Account, only: string | undefined): readonly ConfText[] {
    const paths = policy.paths(owner.name);
    if (paths === undefined) return [];
    const filter = { names: NAME, largest: MAX_DAEMON_FILE, most: MOST_DAEMONS, ...(only !== undefined && { only }) };
    const { found, problems } = readConfDirectory(owner, fileIdentity(owner, accounts), paths.chain, filter);
    if (only !== undefined && found.length === 0 && problems.length > 0)
      throw new ContainerRefusal("refused", problems.join("; "));
    return found;
  }

  #require(path: string, { allowed, because }: PolicyDecision, before = ""): void {
    if (!allowed) throw new ContainerRefusal("refused", `${path}: ${before}${because} (${this.#policyFile})`);
  }
}

const definitionOf = ({ path, text, problem }: ConfText, owner: Account): Definition => {
  if (text === undefined) throw new ContainerRefusal("refused", `${path}: ${problem}`);
  const { value, errors } = parseDaemonFile(text, owner);
  if (value !== undefined) return value;
  throw new ContainerRefusal("refused", errors.map((each) => describeProblem(path, each)).join("; "));
};
