/** Command line of the supervisor. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_RUN_DIR } from "@dmhost/contract";
import { duration } from "../core/units.ts";

const POLICY_FILES = ["/etc/daemon-manager.conf", "/etc/daemon-manager/daemon-manager.conf"] as const;

export const USAGE = `Usage: supervisor [options]
  --config FILE       policy file (default ${POLICY_FILES[0]},
                      then ${POLICY_FILES[1]})
  --run-dir DIR       control sockets and log pipes (default ${DEFAULT_RUN_DIR})
  --fastcgi-dir DIR   published FastCGI sockets (default /run/fastcgi)
  --state-dir DIR     records for the next supervisor (default /var/lib/dmhost)
  --sites-dir DIR     where the web server takes its sites from (default: it serves none)
  --site-logs-dir DIR logs of sites, one directory per owner
                      (default /var/log/dmhost-sites)
  --http-port PORT    TCP port of the web server for visitors (default 80)
  --reload-interval DURATION
                      time between reloads of the web server, after three in a
                      row (default 15s)
  --broker SOCKET     the broker of containers (default: no containers)
  --tools-dir DIR     envdir, softlimit, setuidgid and multilog for the scripts of
                      service directories (default: those that came with it)
  --log-level LEVEL   fatal, error, warn, info, debug or trace (default info)
  --end               end the daemons and the shim that a supervisor with these
                      directories has left, and start none; reads no policy
  --help              print this text
  --version           print the version
`;

const RELOAD_INTERVAL = duration();

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;

export interface Flags {
  /** Path of the policy file. */
  readonly config: string;
  readonly runDir: string;
  readonly fastcgiDir: string;
  readonly stateDir: string;
  /** undefined: no sites. */
  readonly sitesDir: string | undefined;
  readonly siteLogsDir: string;
  readonly httpPort: number;
  /** In milliseconds. */
  readonly reloadInterval: number;
  /** undefined: beside the program. */
  readonly toolsDir: string | undefined;
  /** Socket of the broker; undefined: no containers. */
  readonly broker: string | undefined;
  readonly logLevel: string;
  /** Whether it only ends what another supervisor has left. */
  readonly end: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

/**
 * Reads the command line. Directories become absolute paths.
 * @throws Error that names the option that is wrong
 */
export const readFlags = (args: readonly string[], exists: (path: string) => boolean = existsSync): Flags => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: text,
      "run-dir": text,
      "fastcgi-dir": text,
      "state-dir": text,
      "sites-dir": text,
      "site-logs-dir": text,
      "http-port": text,
      "reload-interval": text,
      "tools-dir": text,
      broker: text,
      "log-level": text,
      end: { type: "boolean" },
      help: { type: "boolean" },
      version: { type: "boolean" },
    },
  });
  const port = values["http-port"] ?? "80";
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)
    throw new Error(`--http-port ${port}: expected a TCP port from 1 to 65535`);
  const interval = values["reload-interval"] ?? "15s";
  const reloadInterval = RELOAD_INTERVAL.read(interval);
  if (reloadInterval === undefined)
    throw new Error(`--reload-interval ${interval}: expected ${RELOAD_INTERVAL.expected}`);
  const logLevel = values["log-level"] ?? "info";
  if (!LEVELS.some((level) => level === logLevel))
    throw new Error(`--log-level ${logLevel}: expected one of ${LEVELS.join(", ")}`);
  return {
    config: values.config ?? POLICY_FILES.find(exists) ?? POLICY_FILES[0],
    runDir: resolve(values["run-dir"] ?? DEFAULT_RUN_DIR),
    fastcgiDir: resolve(values["fastcgi-dir"] ?? "/run/fastcgi"),
    stateDir: resolve(values["state-dir"] ?? "/var/lib/dmhost"),
    sitesDir: values["sites-dir"] === undefined ? undefined : resolve(values["sites-dir"]),
    siteLogsDir: resolve(values["site-logs-dir"] ?? "/var/log/dmhost-sites"),
    httpPort: Number(port),
    reloadInterval,
    toolsDir: values["tools-dir"] === undefined ? undefined : resolve(values["tools-dir"]),
    broker: values.broker === undefined ? undefined : resolve(values.broker),
    logLevel,
    end: values.end ?? false,
    help: values.help ?? false,
    version: values.version ?? false,
  };
};
