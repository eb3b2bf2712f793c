/** Reads the conf directories of owners: loads, reloads and removes daemons, and starts those with autostart. */

import { parseDaemonFile } from "../conf/daemon-file.ts";
import { idOf } from "../core/daemon-key.ts";
import { messageOf } from "../core/error-message.ts";
import { alive } from "../core/lifecycle.ts";
import type { Account } from "../core/policy-rules.ts";
import type { RescanReport } from "../core/rescan-report.ts";
import type { Terms } from "../core/terms.ts";
import type { Admission } from "./admission.ts";
import type { Daemon } from "./daemon.ts";
import type { Exits } from "./exits.ts";
import type { ConfDirectories, FoundFile } from "./ports/conf-source.ts";
import type { Ports } from "./ports/ports.ts";

/** What a rescan needs of the supervisor. */
export interface RescanHost {
  admission(): Admission;
  /** The daemons of an owner, in the order of their ids. */
  daemonsOf(owner: string): readonly Daemon[];
  daemon(id: string): Daemon | undefined;
  /** Adds a daemon for a conf file. */
  add(owner: Account, file: FoundFile): Daemon;
  /** Closes and forgets a daemon that has stopped. */
  drop(daemon: Daemon): void;
  /** Stops and drops a daemon whose exit an earlier supervisor has recorded. */
  exit(daemon: Daemon): void;
  /** Applies policy and conf file to a daemon: blocks it or offers its terms. */
  admit(daemon: Daemon): void;
  /** Whether one of its accounts has another uid now. */
  hasForeignAccount(daemon: Daemon): boolean;
  /** Stops and drops a daemon whose run has a uid of somebody else; a rescan then loads it again. */
  evict(daemon: Daemon): void;
  /** undefined where there is no such account. */
  uidOf(account: string): number | undefined;
  /** Whether the owner's budget limits the number of daemons. */
  limitsDaemons(owner: string): boolean;
  watchMemory(daemon: Daemon): void;
}

export class Rescan {
  readonly report: RescanReport = { found: [], started: [], changed: [], removed: [], problems: [], warnings: [] };
  readonly #ports: Pick<Ports, "confs" | "records">;
  readonly #exits: Pick<Exits, "has">;
  readonly #host: RescanHost;

  /** @param exits daemons whose conf files are ignored */
  constructor(ports: Pick<Ports, "confs" | "records">, exits: Pick<Exits, "has">, host: RescanHost) {
    this.#ports = ports;
    this.#exits = exits;
    this.#host = host;
  }

  /**
   * Reads the directories of one owner. Never throws: the other owners' daemons do not depend on this one's files.
   * @param changed is called after later changes of the directories
   * @returns whether the directories could be listed: if not, daemons may be missing that exist
   */
  scan(owner: Account, directories: ConfDirectories, changed: () => void): boolean {
    let isComplete = false;
    this.#report(`reading the conf files of ${owner.name}`, () => {
      isComplete = this.#read(owner, directories);
    });
    this.#watch(owner, directories, changed);
    return isComplete;
  }

  #read(owner: Account, directories: ConfDirectories): boolean {
    const loaded = this.#host.daemonsOf(owner.name);
    const names = loaded.map(({ key }) => key.name);
    // Daemons of an earlier supervisor have priority, too.
    const first = new Set([...names, ...this.#ports.records.daemons(owner.name)]);
    const { files, skipped, problems, complete } = this.#ports.confs.readAll(owner, directories, first);
    this.report.problems.push(...problems, ...files.flatMap((file) => file.errors));
    this.report.warnings.push(...files.flatMap((file) => file.warnings));
    for (const file of this.#host.limitsDaemons(owner.name) ? this.#permittedFirst(owner.name, files) : files) {
      const id = idOf({ owner, name: file.name });
      if (this.#exits.has(id)) continue;
      const known = this.#host.daemon(id);
      this.#report(`loading ${id}`, () => (known ? this.#reload(known, file) : this.#load(owner, file)));
    }
    if (complete) this.#remove(new Set([...files.map((file) => file.name), ...skipped]), loaded);
    if (this.#host.limitsDaemons(owner.name)) this.#admitForbidden(owner.name);
    return complete;
  }

  /** Those that an earlier supervisor found first count first: it has forbidden the others. */
  #permittedFirst(owner: string, files: readonly FoundFile[]): readonly FoundFile[] {
    const isPermitted = ({ name }: FoundFile): boolean => {
      // Loaded ones have their places. Reading all records again at each rescan would cost more than the rescan.
      if (this.#host.daemon(idOf({ owner: { name: owner }, name }))) return true;
      const records = [...this.#ports.records.recall({ owner: { name: owner }, name }).values()];
      return records.some(({ state }) => state.block === undefined);
    };
    const permitted = new Set(files.filter(isPermitted));
    return [...permitted, ...files.filter((file) => !permitted.has(file))];
  }

  /** Does a part of the work; an error is a problem of the report. */
  #report(doing: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.report.problems.push(`${doing}: ${messageOf(error)}`);
    }
  }

  #watch(owner: Account, directories: ConfDirectories, changed: () => void): void {
    try {
      this.#ports.confs.watch(owner, directories, changed);
    } catch (error) {
      this.report.problems.push(messageOf(error));
    }
  }

  #load(owner: Account, file: FoundFile): void {
    const daemon = this.#host.add(owner, file);
    this.report.found.push(daemon.id);
    const admitted = this.#host.admission().terms(daemon);
    const resumed = daemon.resume("kind" in admitted ? undefined : admitted, (conf, fingerprint) =>
      this.#former(daemon, conf, fingerprint),
    );
    if (daemon.exited) {
      this.report.found.pop();
      this.#host.exit(daemon);
      return;
    }
    this.#host.admit(daemon);
    if (daemon.foundAccounts.some(({ name, uid }) => this.#host.uidOf(name) !== uid)) this.#host.evict(daemon);
    if (resumed) this.#host.watchMemory(daemon);
    else this.#autostart(daemon);
  }

  /** Terms by a conf file that is no longer there. */
  #former(daemon: Daemon, conf: string, fingerprint: string): Terms | undefined {
    const definition = parseDaemonFile(conf, daemon.key.owner).value;
    const admitted = definition && this.#host.admission().terms(daemon, { ...daemon.file, definition, fingerprint });
    return admitted && !("kind" in admitted) ? admitted : undefined;
  }

  #reload(daemon: Daemon, file: FoundFile): void {
    if (this.#host.hasForeignAccount(daemon)) return;
    daemon.removed = false;
    const changed = daemon.file.fingerprint !== file.fingerprint;
    daemon.file = file;
    if (!changed) return;
    this.report.changed.push(daemon.id);
    if (daemon.lives) {
      this.#relimit(daemon);
      daemon.remember();
      // Instances without a run may be blocked by the former conf file.
      if (daemon.block) this.#host.admit(daemon);
      return;
    }
    const { kind } = daemon.block ?? {};
    this.#host.admit(daemon);
    if (kind === "invalid") this.#autostart(daemon);
  }

  /** Enforces changed limits that need no restart. */
  #relimit(daemon: Daemon): void {
    const admitted = this.#host.admission().terms(daemon);
    if ("kind" in admitted) return;
    try {
      // A run of an earlier supervisor whose conf file was invalid has no terms yet.
      if (!daemon.terms) daemon.offer(admitted);
      daemon.relimit(admitted);
    } catch (error) {
      const { path } = daemon.file;
      this.report.problems.push(`${path}: cannot change the limits of its runs: ${messageOf(error)}; restart it`);
    }
    this.#host.watchMemory(daemon);
  }

  #remove(present: ReadonlySet<string>, loaded: readonly Daemon[]): void {
    for (const daemon of loaded) {
      if (present.has(daemon.key.name)) continue;
      if (!daemon.removed) this.report.removed.push(daemon.id);
      daemon.removed = true;
      if (!alive(daemon.state)) this.#host.drop(daemon);
    }
  }

  /** Daemons that exceeded the number that the budget permits may be within it now. */
  #admitForbidden(owner: string): void {
    for (const daemon of this.#host.daemonsOf(owner)) {
      if (daemon.block?.kind !== "forbidden" || daemon.lives) continue;
      this.#host.admit(daemon);
      if (daemon.state.run === 0) this.#autostart(daemon);
    }
  }

  #autostart(daemon: Daemon): void {
    if (daemon.block || !daemon.terms?.definition.autostart || daemon.lives) return;
    this.report.started.push(daemon.id);
    daemon.feed({ type: "start" });
  }
}
