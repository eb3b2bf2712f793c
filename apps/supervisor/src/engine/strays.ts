/** Strays: runs, sockets, logs, records and cgroups of an earlier supervisor that belong to no daemon. */
import { idOf, ownerOf } from "../core/daemon-key.ts";
import { messageOf } from "../core/error-message.ts";
import type { Daemon } from "./daemon.ts";
import type { Ports } from "./ports/ports.ts";

/**
 * Ends and removes all strays. Returns the problems with them.
 * @param daemons every daemon of this supervisor
 * @param isSpared whether nothing of an owner is removed, because the owner's conf files could not be read
 * @param hasExited whether the records of a daemon stay, by its id: they say that it exited by request
 */
export const removeStrays = (
  { records, runs, sockets, logs, limits }: Pick<Ports, "records" | "runs" | "sockets" | "logs" | "limits">,
  daemons: readonly Daemon[],
  isSpared: (owner: string) => boolean,
  hasExited: (id: string) => boolean,
): readonly string[] => {
  const problems: string[] = [];
  const known = new Set(daemons.map(({ id }) => id));
  const isKnown = (id: string): boolean => known.has(id) || isSpared(ownerOf(id));
  // Others may listen, or write, where nobody has opened that: their conf file is another than when they were launched.
  const resting = new Set(daemons.filter(({ isResting }) => isResting).map(({ id }) => id));
  const isUsed = (id: string): boolean => isKnown(id) && !resting.has(id);
  for (const owner of records.owners()) {
    for (const name of records.daemons(owner)) {
      const key = { owner: { name: owner }, name };
      const id = idOf(key);
      if (isKnown(id) || hasExited(id)) continue;
      try {
        for (const { run } of records.recall(key).values()) if (run) runs.removeStray(owner, name, run);
        sockets.removeStray(owner, name);
        records.removeAll(owner, name);
      } catch (error) {
        problems.push(`removing what an earlier supervisor left of ${id}: ${messageOf(error)}`);
      }
    }
  }
  runs.removeStrays(isSpared);
  sockets.removeStrays(isUsed);
  logs.removeStrays(isUsed);
  limits.removeStrays(new Set(daemons.flatMap((daemon) => daemon.groups())), isSpared);
  return problems;
};
