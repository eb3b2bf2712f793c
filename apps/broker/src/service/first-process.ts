/** A container's first process, as the kernel describes it. It is the shim, and runs nothing of the image before the supervisor says so. */
import { readFileSync, statSync } from "node:fs";
import { codeOf } from "../../../supervisor/src/os/kernel/error-code.ts";
import type { ContainerParts } from "../rules/container-body.ts";
import type { FoundContainer } from "../rules/engine.ts";
import { processObjection } from "../rules/process-proof.ts";
import type { BoundDirectory } from "./binds.ts";

/** Looks into /proc. */
export type FirstProcessCheck = typeof firstProcessObjection;

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
};

/** Why the container must not go on; undefined where it may. */
export const firstProcessObjection = (
  { id, pid, exitCode }: FoundContainer,
  account: Pick<ContainerParts, "uid" | "gid" | "groups">,
  home: BoundDirectory,
): string | undefined => {
  if (pid === 0) return `its first process, the shim, ended at once with code ${exitCode ?? "?"}`;
  // The pid is of the engine's namespace: another process may have this number here.
  if (!read(pid, "cgroup").includes(id))
    return "its first process is not visible in /proc; run the broker in the pid namespace of the engine (pid: host)";
  return processObjection(read(pid, "status"), account) ?? homeObjection(pid, home);
};

/**
 * Whether the container sees the home that was compared before the start. Without CAP_SYS_PTRACE the kernel does not say: the shim is not
 * dumpable. The shim compares it then, by the answer to `make`.
 */
const homeObjection = (pid: number, { path, device, inode }: BoundDirectory): string | undefined => {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/root${path}`, { bigint: true });
    if (String(dev) === device && String(ino) === inode) return undefined;
    return `${path} is another directory in it than before its start`;
  } catch (error) {
    const code = codeOf(error);
    return code === "EACCES" || code === "EPERM" ? undefined : `${path} cannot be looked at in it: ${code}`;
  }
};
