/** Everything that the engine needs of the world. */
import type { Clock } from "./clock.ts";
import type { ConfSource } from "./conf-source.ts";
import type { Limits } from "./limits.ts";
import type { Logs } from "./logs.ts";
import type { MachineFacts } from "./machine-facts.ts";
import type { Records } from "./records.ts";
import type { Runs } from "./runs.ts";
import type { Sockets } from "./sockets.ts";

export interface Ports {
  readonly clock: Clock;
  readonly confs: ConfSource;
  readonly runs: Runs;
  readonly sockets: Sockets;
  readonly logs: Logs;
  readonly limits: Limits;
  readonly records: Records;
  readonly machine: MachineFacts;
}
