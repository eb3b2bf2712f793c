/** Strays: runs, sockets, records and cgroups of an earlier supervisor that belong to no daemon. */
import type { Daemon } from "./daemon.ts";
import type { Ports } from "./ports/ports.ts";

/** Ends and removes all strays. @param daemons every daemon of this supervisor */
export const removeStrays = (
  { records, runs, sockets, limits }: Pick<Ports, "records" | "runs" | "sockets" | "limits">,
  daemons: readonly Daemon[],
): void => {
  const known = new Set(daemons.map(({ id }) => id));
  for (const owner of records.owners()) {
    for (const name of records.daemons(owner)) {
      if (known.has(`${owner}/${name}`)) continue;
      for (const { run } of records.recall({ owner: { name: owner }, name }).values()) {
        if (run) runs.removeStray(owner, name, run);
      }
      records.removeAll(owner, name);
      sockets.removeStray(owner, name);
    }
  }
  limits.removeStrays(new Set(daemons.flatMap((daemon) => daemon.groups())));
};
