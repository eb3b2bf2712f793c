/** The cgroup that a container's is made in. */

import type { ContainerPurpose } from "./container-labels.ts";
import { ContainerRefusal } from "./refusal.ts";

/** Escapes a name as a part of a unit's: systemd.unit(5). */
const unitPart = (name: string): string =>
  [...name]
    .map((char, index) =>
      /[A-Za-z0-9:_]/.test(char) || (char === "." && index > 0)
        ? char
        : `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`,
    )
    .join("");

/** Name of the slice of an owner's containers. */
export const ownerSlice = (owner: string): string => `dmhost-${unitPart(owner)}.slice`;

/**
 * The parent for an engine's driver; undefined: the engine's own. Under systemd a cgroup is a unit, so it is a slice.
 * @param cgroup where the supervisor has made one for this run
 * @throws ContainerRefusal where that is none of this run's
 */
export const cgroupParent = (
  driver: string,
  { owner, name, instance, run }: ContainerPurpose,
  cgroup: string | undefined,
): string | undefined => {
  if (driver === "systemd") return ownerSlice(owner);
  if (cgroup === undefined) return undefined;
  const isClean = !cgroup.split("/").includes("..") && !cgroup.split("/").includes(".");
  if (isClean && cgroup.endsWith(`/${owner}/${name}.d/${instance}-${run}`)) return cgroup;
  throw new ContainerRefusal(
    "invalid",
    `cgroup "${cgroup}": expected one that ends in /${owner}/${name}.d/${instance}-${run}`,
  );
};
