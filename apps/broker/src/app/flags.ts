/** Command line of the broker. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";

/** What `--help` prints. */
export const USAGE = `Usage: broker [options]
  --config FILE       policy file (needed)
  --state DIR         its containers, and what names of images meant (needed)
  --guests DIR        with a directory for each container's socket (needed)
  --shim FILE         program of the shim, which containers begin with (needed)
  --socket PATH       where the supervisor connects (needed)
  --engine PATH       socket of the Docker engine (default /var/run/docker.sock)
  --peer UID          uid of the supervisor (default 0)
  --check             say which engine answers and whether it can run containers of tenants, and end
  --log-level LEVEL   fatal, error, warn, info, debug or trace (default info)
  --help              print this text
`;

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;
const NEEDED = ["config", "state", "guests", "shim", "socket"] as const;

/** Only the engine is looked at. */
interface CheckFlags {
  readonly check: string;
}

/** The command line as values; paths are absolute. */
export interface BrokerFlags {
  readonly config: string;
  readonly state: string;
  readonly guests: string;
  readonly shim: string;
  readonly socket: string;
  readonly engine: string;
  readonly peer: number;
  readonly logLevel: string;
}

/**
 * Reads the command line; "help" where that was requested.
 * @throws Error that names the option that is wrong
 */
export const readFlags = (args: readonly string[]): BrokerFlags | CheckFlags | "help" => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: text,
      state: text,
      guests: text,
      shim: text,
      socket: text,
      engine: text,
      peer: text,
      "log-level": text,
      check: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return "help";
  const engine = resolve(values.engine ?? "/var/run/docker.sock");
  if (values.check) return { check: engine };
  const [config = "", state = "", guests = "", shim = "", socket = ""] = NEEDED.map((name) => {
    const value = values[name];
    if (value === undefined || value === "") throw new Error(`--${name} is missing: see --help`);
    return resolve(value);
  });
  const peer = values.peer ?? "0";
  if (!/^\d{1,10}$/.test(peer)) throw new Error(`--peer ${peer}: expected a uid`);
  const logLevel = values["log-level"] ?? "info";
  if (!LEVELS.some((level) => level === logLevel))
    throw new Error(`--log-level ${logLevel}: expected one of ${LEVELS.join(", ")}`);
  return { config, state, guests, shim, socket, engine, peer: Number(peer), logLevel };
};
