import { expect, test } from "vitest";
import { engineObjection } from "./engine-requirements.ts";
import { engineFacts } from "./parts.fake.ts";

test("Docker 20.10 and later can run containers of tenants, with each driver", () => {
  const engines = [
    {},
    { apiVersion: "1.50" },
    { apiVersion: "2.0" },
    { cgroupDriver: "systemd" },
    { cgroupVersion: "1" },
  ];
  expect(engines.map((change) => engineObjection(engineFacts(change)))).toEqual(engines.map(() => undefined));
});

test.each([
  [{ isDocker: false }, "it is not a Docker engine"],
  [{ system: "windows" }, "it runs on windows"],
  [{ apiVersion: "1.40" }, "its API is 1.40, and 1.41 is needed; install Docker 20.10 or later"],
  [{ apiVersion: "?" }, "its API is ?, and 1.41 is needed"],
  [{ securityOptions: ["name=seccomp,profile=default", "name=rootless"] }, "it is rootless"],
  [{ securityOptions: ["name=userns"] }, "userns-remap gives containers other uids; remove userns-remap"],
  [{ cgroupDriver: "none" }, 'its cgroup driver is "none"'],
  [{ cgroupVersion: "" }, 'cgroup version ""'],
  [{ limitsMemory: false, limitsProcesses: false }, "it cannot limit memory and processes"],
  [{ limitsCpu: false }, "it cannot limit processor time"],
])("an engine with %j is refused: %s", (change, reason) => {
  expect(engineObjection(engineFacts(change))).toContain(reason);
});
