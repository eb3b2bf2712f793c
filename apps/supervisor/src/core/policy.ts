import type { Budget } from "./budget.ts";
import type { Problem } from "./definition.ts";
import { covers, describePattern, type Hostname } from "./hostname.ts";
import { coversImage, describeImage, describeImagePattern, type ImageName, OUTBOUND } from "./image.ts";
import { inHome } from "./paths.ts";
import type { Account, AccountBase, PolicyRules, Settings } from "./policy-rules.ts";
import { type Grants, ROOT, Roster } from "./roster.ts";

/** An answer of the policy. */
export interface PolicyDecision {
  readonly allowed: boolean;
  /** Line of the policy file that grants it; undefined where it is refused, or granted without a line (to root). */
  readonly line: number | undefined;
  /** The reason, in words. */
  readonly because: string;
}

/**
 * One grant of the policy: `holder` may run daemons as `object`, manage the daemons of `object`, publish the hosts that `object`
 * names, or use its images; `network=outbound` is an object of that kind.
 */
export interface Right {
  readonly holder: string;
  readonly object: string;
  /** First line of the policy file that grants it. */
  readonly line: number;
}

/** Paths of an owner's files: absolute, without a slash at the end. */
interface OwnerPaths {
  readonly home: string;
  /** Directory of the daemon files. */
  readonly daemons: string;
  /** Directory of the logs. */
  readonly logs: string;
  /**
   * Directories that only the owner and root may write, because otherwise no file in `daemons` is trusted:
   * from the home (from `/` where `daemons` is not below the home) down to `daemons`, in that order.
   */
  readonly chain: readonly string[];
  /** As `chain`, down to the directory of the service directories. */
  readonly serviceChain: readonly string[];
}

/** The policy file joined with the accounts of the machine. Immutable; a rescan makes a new one. */
export interface Policy {
  readonly settings: Settings;
  /** Accounts that may run daemons: root, then the left side of [runs_as] in the order of the file. */
  owners(): readonly string[];
  /** Whether an account is one of owners(), by an index. */
  isOwner(user: string): boolean;
  /** Whether the policy names the account: owners and the left side of [manages]. */
  known(user: string): boolean;
  /** Whether a daemon of `owner` may run as `target`. */
  mayRunAs(owner: string, target: string): PolicyDecision;
  /** Whether `caller` may start, stop, restart and inspect the daemons of `owner`. */
  mayManage(caller: string, owner: string): PolicyDecision;
  /** Whether `caller` may write conf files of `owner`, which decide what runs as the owner: [manages] does not grant that. */
  mayWrite(caller: string, owner: string): PolicyDecision;
  /** Whether a daemon of `owner` may publish a host. */
  mayHost(owner: string, host: Hostname): PolicyDecision;
  /** Whether a daemon of `owner` may run in a container of an image. */
  mayUseImage(owner: string, image: ImageName): PolicyDecision;
  /** Whether a container of `owner` may connect to other machines. */
  mayConnectOut(owner: string): PolicyDecision;
  /** The owners whose daemons the caller may control, themselves included. */
  manageable(caller: string): readonly string[];
  /** All grants of the file, groups resolved into accounts; root needs no grants and is not in it. */
  rights(): Readonly<Record<"runsAs" | "manages" | "hosts" | "images", readonly Right[]>>;
  /** The budget of all its daemons together. */
  budget(owner: string): Budget;
  /** undefined for an account that is no owner. */
  paths(owner: string): OwnerPaths | undefined;
  /**
   * Accounts that several owners may run as, root and the account itself not counted (docs/explanation/security.md#9).
   */
  sharedTargets(): readonly { readonly target: string; readonly owners: readonly string[] }[];
}

/**
 * Joins the rules with the accounts. Entries that cannot be granted are skipped and reported with their line: unknown
 * users and groups; on a left side, another name of uid 0, uid 65534, and names that could be no directory of their
 * own (NAME); an account of uid 0 for an owner other than root (docs/explanation/security.md#5). A group's members
 * that have no account are skipped.
 */
export function resolvePolicy(
  rules: PolicyRules,
  accounts: AccountBase,
): { readonly policy: Policy; readonly problems: readonly Problem[] } {
  const roster = new Roster(accounts);
  const runsAs = roster.runsAs(rules.runsAs);
  const manages = roster.manages(rules.manages);
  const hosts = roster.hosts(rules.hosts);
  const owners = [ROOT, ...[...runsAs.keys()].filter((name) => name !== ROOT)];
  const budgets = roster.limits(rules.limits, owners);
  const images = roster.images(rules.images, owners);
  const isOwner = (name: string): boolean => name === ROOT || runsAs.has(name);

  const nobody = (...names: string[]): PolicyDecision | undefined => {
    const ghost = names.find((name) => name !== ROOT && !accounts.users.has(name));
    return ghost === undefined ? undefined : refused(`there is no account "${ghost}" on this machine`);
  };

  const mayRunAs = (owner: string, target: string): PolicyDecision => {
    const ghost = nobody(owner, target);
    if (ghost) return ghost;
    if (owner === ROOT) return granted(undefined, "root runs its own daemons as any account");
    const targets = runsAs.get(owner);
    if (targets === undefined) return refused(`${owner} is not on the left of [runs_as], and runs no daemons`);
    const line = targets.get(target);
    if (line === undefined) return refused(`no line of [runs_as] lets ${owner} run daemons as ${target}`);
    const self = `${owner} is on the left of [runs_as], and may run daemons as themselves`;
    return granted(line, owner === target ? self : `[runs_as] lets ${owner} run daemons as ${target}`);
  };

  const mayManage = (caller: string, owner: string): PolicyDecision => {
    const ghost = nobody(caller, owner);
    if (ghost) return ghost;
    if (caller === ROOT) return granted(undefined, "root manages all daemons");
    if (!isOwner(owner)) return refused(`${owner} is not on the left of [runs_as], and runs no daemons`);
    if (caller === owner) return granted(runsAs.get(owner)?.get(owner), "owners manage their own daemons");
    const line = manages.get(caller)?.get(owner);
    if (line !== undefined) return granted(line, `[manages] lets ${caller} manage the daemons of ${owner}`);
    return refused(`no line of [manages] lets ${caller} manage the daemons of ${owner}`);
  };

  const mayWrite = (caller: string, owner: string): PolicyDecision =>
    caller === owner || caller === ROOT || !isOwner(owner)
      ? mayManage(caller, owner)
      : (nobody(caller) ?? refused(`only ${owner} and root may change the files of ${owner}'s daemons`));

  const mayHost = (owner: string, host: Hostname): PolicyDecision => {
    if (owner === ROOT) return granted(undefined, "root's daemons may publish any host");
    if (!isOwner(owner)) return refused(`${owner} is not on the left of [runs_as], and runs no daemons`);
    const grant = hosts.get(owner)?.find(({ pattern }) => covers(pattern, host));
    if (grant === undefined) return refused(`no line of [hosts] lets daemons of ${owner} publish ${host}`);
    const by = grant.pattern.below ? `, by ${describePattern(grant.pattern)}` : "";
    return granted(grant.line, `[hosts] lets daemons of ${owner} publish ${host}${by}`);
  };

  const mayUseImage = (owner: string, image: ImageName): PolicyDecision => {
    const name = describeImage(image);
    if (owner === ROOT) return granted(undefined, "root's daemons may use any image");
    if (!isOwner(owner)) return refused(`${owner} is not on the left of [runs_as], and runs no daemons`);
    const grant = images.get(owner)?.images.find(({ pattern }) => coversImage(pattern, image));
    if (grant === undefined) return refused(`no line of [images] lets daemons of ${owner} use ${name}`);
    const pattern = describeImagePattern(grant.pattern);
    const by = pattern === name ? "" : `, by ${pattern}`;
    return granted(grant.line, `[images] lets daemons of ${owner} use ${name}${by}`);
  };

  const mayConnectOut = (owner: string): PolicyDecision => {
    if (owner === ROOT) return granted(undefined, "root's daemons may connect to other machines");
    const line = images.get(owner)?.outbound;
    if (line === undefined) return refused(`no line of [images] grants ${OUTBOUND} to ${owner}`);
    return granted(line, `[images] grants ${OUTBOUND} to ${owner}`);
  };

  const policy: Policy = {
    settings: rules.settings,
    owners: () => owners,
    isOwner,
    known: (user) => isOwner(user) || manages.has(user),
    mayRunAs,
    mayManage,
    mayWrite,
    mayHost,
    mayUseImage,
    mayConnectOut,
    rights: () => ({
      runsAs: listed(runsAs),
      manages: listed(manages).filter(({ object }) => isOwner(object)),
      hosts: [...hosts].flatMap(([holder, grants]) =>
        isOwner(holder) ? grants.map(({ pattern, line }) => ({ holder, object: describePattern(pattern), line })) : [],
      ),
      images: [...images].flatMap(([holder, grants]) => [
        ...grants.images.map(({ pattern, line }) => ({ holder, object: describeImagePattern(pattern), line })),
        ...(grants.outbound === undefined ? [] : [{ holder, object: OUTBOUND, line: grants.outbound }]),
      ]),
    }),
    manageable: (caller) => (caller === ROOT ? owners : owners.filter((owner) => mayManage(caller, owner).allowed)),
    budget: (owner) => budgets.get(owner) ?? {},
    paths: (owner) => (isOwner(owner) ? ownerPaths(rules.settings, owner, accounts.users.get(owner)) : undefined),
    sharedTargets: () => sharedTargets(runsAs),
  };
  return { policy, problems: roster.problems() };
}

const granted = (line: number | undefined, because: string): PolicyDecision => ({ allowed: true, line, because });
const refused = (because: string): PolicyDecision => ({ allowed: false, line: undefined, because });

const listed = (grants: Grants): Right[] =>
  [...grants].flatMap(([holder, objects]) => [...objects].map(([object, line]) => ({ holder, object, line })));

function ownerPaths(settings: Settings, owner: string, account: Account | undefined): OwnerPaths {
  const home = normalized(account?.home ?? (owner === ROOT ? "/root" : "/"));
  const [daemonPath, logPath, servicePath] =
    owner === ROOT
      ? [settings.daemonPathDaemonRoot, settings.daemonPathLogRoot, settings.servicePathRoot]
      : [settings.daemonPathDaemon, settings.daemonPathLog, settings.servicePath];
  const daemons = substituted(daemonPath, owner, home);
  const logs = substituted(logPath, owner, home);
  const services = substituted(servicePath, owner, home);
  return {
    home,
    daemons,
    logs,
    chain: chain(daemons, home),
    serviceChain: chain(services, home),
  };
}

/** Replaces %username% by the owner's name and a leading ~ by their home; neither is substituted again. */
function substituted(pattern: string, owner: string, home: string): string {
  const path = pattern.replaceAll("%username%", () => owner);
  return normalized(inHome(path, { home }));
}

const normalized = (path: string): string =>
  `/${path
    .split("/")
    .filter((segment) => segment !== "" && segment !== ".")
    .join("/")}`;

function chain(path: string, home: string): readonly string[] {
  const directories = ["/"];
  for (const segment of path.split("/").filter((part) => part !== "")) {
    const parent = directories.at(-1) ?? "/";
    directories.push(parent === "/" ? `/${segment}` : `${parent}/${segment}`);
  }
  return directories.includes(home) ? directories.slice(directories.indexOf(home)) : directories;
}

function sharedTargets(runsAs: Grants): { target: string; owners: string[] }[] {
  const byTarget = new Map<string, string[]>();
  for (const [owner, targets] of runsAs) {
    if (owner === ROOT) continue;
    for (const target of targets.keys()) {
      if (target === owner) continue;
      const owners = byTarget.get(target);
      if (owners === undefined) byTarget.set(target, [owner]);
      else owners.push(owner);
    }
  }
  return [...byTarget].filter(([, owners]) => owners.length > 1).map(([target, owners]) => ({ target, owners }));
}
