/** Values for tests. */
import type { ContainerParts } from "./container-body.ts";
import type { EngineFacts, PresentImage } from "./engine.ts";

/** An image of this machine. */
export const presentImage = (change: Partial<PresentImage> = {}): PresentImage => ({
  id: `sha256:${"1".repeat(64)}`,
  digests: [],
  entrypoint: [],
  arguments: [],
  environment: [],
  directory: "",
  labels: [],
  volumes: [],
  ...change,
});

/** An engine that can run containers of tenants. */
export const engineFacts = (change: Partial<EngineFacts> = {}): EngineFacts => ({
  engine: "Docker 20.10.24",
  isDocker: true,
  apiVersion: "1.41",
  system: "linux",
  securityOptions: ["name=seccomp,profile=default"],
  cgroupDriver: "cgroupfs",
  cgroupVersion: "2",
  cpus: 4,
  limitsMemory: true,
  limitsProcesses: true,
  limitsCpu: true,
  ...change,
});

/** The parts of a container of alice/web. */
export const containerParts = (change: Partial<ContainerParts> = {}): ContainerParts => ({
  purpose: { owner: "alice", name: "web", instance: 2, run: 17 },
  uid: 1001,
  gid: 1002,
  groups: [1002, 1500, 1500],
  home: "/home/alice",
  limits: { memory: 64 << 20, processes: 21, nanoCpus: 500_000_000 },
  network: "none",
  image: presentImage(),
  guest: "/run/guests/g1",
  shim: "/usr/lib/dmhost/dmhost-shim",
  token: "0123456789abcdef",
  broker: "b0",
  attempt: "a0",
  cgroupParent: "/tree/alice/web.d/2-17",
  ...change,
});
