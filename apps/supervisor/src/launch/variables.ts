/** The variables that every daemon gets, before those of its file. */
import type { Definition } from "../core/definition.ts";
import type { Account } from "../core/policy-rules.ts";

export const PATH = "/usr/local/bin:/usr/bin:/bin";

/**
 * PATH of a service directory's scripts (man/daemon.conf.5.md#service-directories): `envdir`, `multilog` and the others come
 * from the directory `tools`, before any that the machine has.
 */
export const servicePath = (tools: string): string => `${tools}:${PATH}`;

/** Whether the daemon gets its socket as descriptor 3, as systemd passes one (sd_listen_fds(3)). */
export const passesSocket = ({ listen }: Pick<Definition, "listen">): boolean =>
  listen === "systemd" || listen === "http";

/** The input of the variables. */
export interface VariableSources {
  readonly definition: Definition;
  /** The run-as account. */
  readonly account: Account;
  /** Directory of the programs that scripts of service directories call by daemontools' names. */
  readonly tools: string;
  /** Path at which it binds its socket, with listen=path. */
  readonly socketPath: string | undefined;
  /** Socket on which it reports readiness, with ready=notify. */
  readonly notifyPath: string | undefined;
}

/**
 * The variables, by name. Scripts of a service directory get no USER: svscan's environment has none, and they take it as a
 * sign that `envdir` has read `env/USER` (seed: the two scripts).
 */
export const defaultVariables = ({
  definition,
  account,
  tools,
  socketPath,
  notifyPath,
}: VariableSources): (readonly [string, string])[] => [
  ["HOME", account.home],
  ["LOGNAME", account.name],
  ...(definition.service ? [] : [["USER", account.name] as const]),
  ["PATH", definition.service ? servicePath(tools) : PATH],
  ["SHELL", definition.shell],
  ...(socketPath === undefined ? [] : [["DM_SOCKET", socketPath] as const]),
  ...(notifyPath === undefined ? [] : [["NOTIFY_SOCKET", notifyPath] as const]),
  ...(passesSocket(definition) ? [["LISTEN_FDS", "1"] as const, ["LISTEN_FDNAMES", definition.listen] as const] : []),
];
