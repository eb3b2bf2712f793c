/**
 * Whether a container's first process is what the template says, by /proc/PID/status. An engine takes the number of a group first for its name,
 * and looks for that in the image: an image whose /etc/group says that the group called 1001 has gid 0 gave its container that gid
 * (Docker 20.10). The first process is the shim, which launches nothing of the image before `make` is answered.
 */
import type { ContainerParts } from "./container-body.ts";

const field = (status: string, name: string): string[] => {
  const line = status.split("\n").find((each) => each.startsWith(`${name}:`)) ?? "";
  return line
    .slice(name.length + 1)
    .split(/\s+/)
    .filter((word) => word !== "");
};

const sorted = (ids: readonly number[]): string => [...new Set(ids)].sort((a, b) => a - b).join(" ");

/** What differs, in words; undefined where nothing does. */
export const processObjection = (
  status: string,
  { uid, gid, groups }: Pick<ContainerParts, "uid" | "gid" | "groups">,
): string | undefined => {
  const numbers = (name: string): string => sorted(field(status, name).map(Number));
  if (numbers("Uid") !== String(uid)) return `it has the uid ${numbers("Uid")}, not ${uid}`;
  if (numbers("Gid") !== String(gid)) return `it has the gid ${numbers("Gid")}, not ${gid}`;
  // The primary group may be listed or not.
  const listed = sorted([gid, ...field(status, "Groups").map(Number)]);
  const expected = sorted([gid, ...groups]);
  if (listed !== expected) return `it has the groups ${listed}, not ${expected}`;
  const capable = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].find(
    (name) => !/^0+$/.test(field(status, name)[0] ?? ""),
  );
  if (capable !== undefined) return `it has capabilities (${capable} ${field(status, capable)[0] ?? "?"})`;
  if (field(status, "NoNewPrivs")[0] !== "1") return "no_new_privs is not set";
  return undefined;
};
