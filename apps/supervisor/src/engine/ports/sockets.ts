/** Listening sockets of daemons, published for the web server. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ProcessIdentity } from "./processes.ts";

/** A published listening socket that the supervisor holds. */
export interface HeldSocket {
  readonly path: string;
  /** Number of the file that it is bound to. */
  readonly file: number;
  /** Whether it is new; if not, the run of an earlier supervisor listens on the same. */
  readonly isNew: boolean;
  /** Restores the length of the accept queue, whatever a program has set; false where clients no longer reach the socket. */
  restore(): boolean;
  /** Whether clients find it at its path and can connect: a program that inherited it may have shut it down. */
  isPublished(): boolean;
  /** Lets clients connect, or refuses them. */
  admit(clients: boolean): void;
  /** Refuses the clients that wait to be accepted. No process of the daemon may live. */
  refuseWaiting(): void;
  /** Forgets earlier clients: see SocketEvidence.touched. */
  mark(): void;
  observe(): SocketEvidence;
  /** Calls `came` once, as soon as a client waits. */
  awaitClient(came: () => void): void;
  close(): void;
}

/** Where the processes of a daemon bind sockets themselves; each run has a directory that no other run has. */
export interface BindDirectory {
  /** Where the socket of the current run is published. */
  readonly path: string;
  /**
   * Makes the directory of a run; returns the path that its process is to bind.
   * @throws errno errors; an error where too many directories of former runs cannot be removed
   */
  provide(run: number): string;
  /** Publishes the socket that the run bound, if it exists and a process listens on it; true from then on. */
  publish(run: number): boolean;
  /** What a run's directory holds beyond its bounds, in words; undefined where nothing. Never rejects. */
  excess(run: number): Promise<string | undefined>;
  /** Removes a run's directory. */
  clear(run: number): void;
  close(): void;
}

/** Methods may throw errno errors. */
export interface Sockets {
  /**
   * Publishes the daemon's socket for the members of `group`, or continues that of an earlier supervisor.
   * @param leaders main processes of the daemon's runs: another program that listens at its path is an error
   */
  open(key: DaemonKey, group: string, leaders: readonly ProcessIdentity[]): HeldSocket;
  /** @param leaders main processes of the daemon's runs at present */
  openBindDirectory(
    key: DaemonKey,
    group: string,
    binder: Account,
    leaders: () => readonly ProcessIdentity[],
  ): BindDirectory;
  /** Removes the published socket of a daemon that no conf file names. */
  removeStray(owner: string, name: string): void;
  /** Closes and removes every socket of an earlier supervisor that belongs to no known daemon, by id. */
  removeStrays(isKnown: (daemon: string) => boolean): void;
}
