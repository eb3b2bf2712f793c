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

/**
 * Why the container must not go on; undefined where it may.
 * @param binds by their paths in the container
 */
export const firstProcessObjection = (
  { id, pid, exitCode }: FoundContainer,
  account: Pick<ContainerParts, "uid" | "gid" | "groups">,
  binds: readonly BoundDirectory[],
): string | undefined => {
  if (pid === 0) return `its first process, the shim, ended at once with code ${exitCode ?? "?"}`;
  // The pid is of the engine's namespace: another process may have this number here.
  if (!read(pid, "cgroup").includes(id))
    return "its first process is not visible in /proc; run the broker in the pid namespace of the engine (pid: host)";
  const different = processObjection(read(pid, "status"), account);
  return different ?? binds.map((bind) => bindObjection(pid, bind)).find((objection) => objection !== undefined);
};

/**
 * Whether the container sees the directory that was looked at before the start. Without CAP_SYS_PTRACE the kernel does not say: the shim is not
 * dumpable. The shim can compare the home then, by the answer to `make`.
 */
const bindObjection = (pid: number, { path, device, inode }: BoundDirectory): string | undefined => {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/root${path}`, { bigint: true });
    if (String(dev) === device && String(ino) === inode) return undefined;
    return `${path} is another directory in it than before its start`;
  } catch (error) {
    const code = codeOf(error);
    return code === "EACCES" || code === "EPERM" ? undefined : `${path} cannot be looked at in it: ${code}`;
  }
};
