/** The policy file as values, before accounts are known. Made by conf/policy-file.ts, resolved by policy.ts. */

import type { BudgetKey } from "./budget.ts";
import type { HostPattern } from "./hostname.ts";
import type { ImagePattern } from "./image.ts";

/** A name in the policy file: an account, or with `@` a group of accounts. */
export interface Subject {
  readonly kind: "user" | "group";
  readonly name: string;
}

/** One `left: right, right` line of [runs_as] or [manages]. */
export interface Rule {
  readonly line: number;
  readonly left: Subject;
  readonly right: readonly Subject[];
}

/** One line of [limits]: `left: key = value, key = value`; `everyone` is written `*`. */
export interface LimitRule {
  readonly line: number;
  readonly left: Subject | "everyone";
  readonly amounts: ReadonlyMap<BudgetKey, number>;
}

/** One `left: name, *.name` line of [hosts]. */
export interface HostRule {
  readonly line: number;
  readonly left: Subject;
  readonly right: readonly HostPattern[];
}

/** One line of [images]: `left: name, name:*, path/*, network=outbound`; `everyone` is written `*`. */
export interface ImageRule {
  readonly line: number;
  readonly left: Subject | "everyone";
  readonly right: readonly ImagePattern[];
  /** Whether containers may have network=outbound. */
  readonly outbound: boolean;
}

/** [settings], complete with defaults. In paths, `~/` is the owner's home and `%username%` the owner's name. */
export interface Settings {
  readonly daemonPathDaemon: string;
  readonly daemonPathLog: string;
  readonly daemonPathDaemonRoot: string;
  readonly daemonPathLogRoot: string;
  /** Directory of an owner's service directories. */
  readonly servicePath: string;
  readonly servicePathRoot: string;
  /** Group whose members may connect to published sockets: the web server's workers, and no tenant. */
  readonly nginxGroup: string;
  /** `yes` or `no`: whether a daemon is forbidden whose limits no cgroup can enforce. */
  readonly strictLimits: string;
}

/** Defaults of [settings] (man/daemon-manager.conf.5.md#settings). */
export const DEFAULT_SETTINGS: Settings = {
  daemonPathDaemon: "~/.daemon-manager/daemons",
  daemonPathLog: "~/.daemon-manager/logs",
  daemonPathDaemonRoot: "/etc/daemon-manager/daemons",
  daemonPathLogRoot: "/var/log/daemon-manager",
  servicePath: "~/service",
  servicePathRoot: "/service",
  nginxGroup: "dmhost-nginx",
  strictLimits: "no",
};

/** The whole file. */
export interface PolicyRules {
  readonly settings: Settings;
  readonly runsAs: readonly Rule[];
  readonly manages: readonly Rule[];
  readonly limits: readonly LimitRule[];
  readonly hosts: readonly HostRule[];
  readonly images: readonly ImageRule[];
}

/** An account of the machine. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Absolute path. */
  readonly home: string;
  readonly shell: string;
}

/** The machine's accounts and groups at one moment, read by os/accounts/accounts.ts. */
export interface AccountBase {
  readonly users: ReadonlyMap<string, Account>;
  /** Group name to its gid and the members that the group database lists (those of primary gid are not in it). */
  readonly groups: ReadonlyMap<string, { readonly gid: number; readonly members: readonly string[] }>;
}
