import { type DaemonList, type DaemonStatus, EXIT } from "@dmhost/supervisor/contract";
import { apiPath, type Client } from "./client.ts";
import { Failure } from "./failure.ts";

/** Every daemon that the caller may control, as the supervisor orders them. */
export const allDaemons = async (client: Client): Promise<DaemonStatus[]> =>
  (await client.ask<DaemonList>({ path: apiPath("daemons") })).daemons;

/** The one daemon that `address` means: an id, or a name that only one of them has. Throws a Failure (exit 3). */
export const chosen = (daemons: readonly DaemonStatus[], address: string): DaemonStatus => {
  const matches = daemons.filter((daemon) => daemon.id === address || daemon.name === address);
  const [only] = matches;
  if (only === undefined) {
    throw new Failure(EXIT.refused, `no daemon "${address}" that you may control; "dmctl list" names those you may`);
  }
  if (matches.length > 1) {
    const ids = matches.map((daemon) => daemon.id);
    throw new Failure(EXIT.refused, `"${address}" could be any of these; name its owner too:`, ids, "ambiguous");
  }
  return only;
};
