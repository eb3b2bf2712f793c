/** Whether an engine can run containers of tenants. */
import type { EngineFacts } from "./engine.ts";

/** Oldest version of the API; the first with private cgroup namespaces. Docker 20.10 has it. */
const OLDEST: readonly [number, number] = [1, 41];

const isOlder = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return !(major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]));
};

const has = (options: readonly string[], name: string): boolean =>
  options.some((option) => option.split(",").includes(`name=${name}`));

/** Why an engine cannot run containers of tenants, and what to do; undefined where it can. */
export const engineObjection = (facts: EngineFacts): string | undefined => {
  const { engine, apiVersion, securityOptions, cgroupDriver, cgroupVersion } = facts;
  const because = (why: string, action: string): string =>
    `${engine} cannot run containers of tenants: ${why}; ${action}`;
  if (!facts.isDocker) return because("it is not a Docker engine", "use Docker 20.10 or later");
  if (facts.system !== "linux") return because(`it runs on ${facts.system}`, "use an engine on Linux");
  if (isOlder(apiVersion))
    return because(`its API is ${apiVersion}, and ${OLDEST.join(".")} is needed`, "install Docker 20.10 or later");
  if (has(securityOptions, "rootless"))
    return because("it is rootless, so uids in a container are others outside", "use an engine that runs as root");
  if (has(securityOptions, "userns"))
    return because("userns-remap gives containers other uids", "remove userns-remap from /etc/docker/daemon.json");
  if (!["cgroupfs", "systemd"].includes(cgroupDriver) || !["1", "2"].includes(cgroupVersion))
    return because(
      `its cgroup driver is "${cgroupDriver}" (cgroup version "${cgroupVersion}")`,
      "set native.cgroupdriver to systemd or cgroupfs",
    );
  const lacks = [
    ...(facts.limitsMemory ? [] : ["memory"]),
    ...(facts.limitsProcesses ? [] : ["processes"]),
    ...(facts.limitsCpu ? [] : ["processor time"]),
  ];
  if (lacks.length > 0)
    return because(`it cannot limit ${lacks.join(" and ")}`, "enable the cgroup controllers memory, pids and cpu");
  return undefined;
};
