/** The service `broker` as native mode installs it, in a scan directory of a test. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CHECKOUT, run } from "./program.ts";

/** Sets the variables of native mode for a directory; $1 the checkout, $2 the directory, $3 the account, $4 the run directory, $5 the engine. */
const PREPARE = `
set -eu
. "$1/host/progress.sh"
. "$1/host/service-tree.sh"
. "$1/host/containers.sh"
cd "$2"
tree=$2/tree tree_scripts=$2/scripts tree_logs=$2/logs programs=$2/programs run_dir=$4
DMHOST_ENGINE=$5
broker_paths
broker_user=$3 broker_state=$2/state services=broker
`;

/** Paths and account of a broker. */
export interface BrokerTreeOptions {
  /** Root's, with `programs/` in it. */
  readonly directory: string;
  readonly account: string;
  readonly runDir: string;
  /** Socket of the engine. */
  readonly engine: string;
  readonly policy: string;
}

export class BrokerTree {
  readonly #options: BrokerTreeOptions;

  constructor(options: BrokerTreeOptions) {
    this.#options = options;
    for (const path of ["tree", "logs"]) mkdirSync(join(options.directory, path), { recursive: true });
  }

  /** What the service has written to its log. */
  get log(): string {
    return readFileSync(join(this.#options.directory, "logs/broker/current"), "utf8");
  }

  /** Installs and starts the service. */
  start(): Promise<string> {
    return this.run(`write_broker ${this.#options.policy}\nstart_tree`);
  }
  /** Removes it as `up --no-containers` does, and ends s6-svscan. */
  remove(): Promise<string> {
    return this.run('remove_broker >&2\nif tree_running; then s6-svscanctl -t "$tree"; fi');
  }

  /** Runs commands of host/; returns what they print. @throws Error where they fail */
  async run(script: string): Promise<string> {
    const { directory, account, runDir, engine } = this.#options;
    const words = ["sh", "-c", PREPARE + script, "sh", CHECKOUT, directory, account, runDir, engine];
    const { code, stdout, stderr } = await run(["env", `HOME=${directory}`, ...words]);
    if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
    return stdout;
  }
}
