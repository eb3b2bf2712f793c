/** The template of containers: each line of it is a wall. */
import { expect, test } from "vitest";
import { containerBody, containerName } from "./container-body.ts";
import { containerParts, presentImage } from "./parts.fake.ts";

test("the template is exactly this, so a field that is added, changed or lost is seen here", () => {
  expect(containerBody(containerParts())).toEqual({
    Image: `sha256:${"1".repeat(64)}`,
    Hostname: "web",
    Domainname: "",
    User: "1001:1002",
    Entrypoint: ["/dmhost-shim", "-j", "/run/dmhost/shim.sock"],
    Cmd: [],
    Env: ["DMHOST_TOKEN=0123456789abcdef"],
    WorkingDir: "/",
    Labels: {
      "io.dmhost.broker": "b0",
      "io.dmhost.attempt": "a0",
      "io.dmhost.owner": "alice",
      "io.dmhost.name": "web",
      "io.dmhost.instance": "2",
      "io.dmhost.run": "17",
    },
    Healthcheck: { Test: ["NONE"] },
    StopSignal: "SIGTERM",
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    NetworkDisabled: true,
    ExposedPorts: {},
    Volumes: {},
    HostConfig: {
      GroupAdd: ["1500"],
      CapAdd: [],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      Privileged: false,
      ReadonlyRootfs: true,
      NetworkMode: "none",
      PidMode: "",
      IpcMode: "private",
      UTSMode: "",
      UsernsMode: "",
      CgroupnsMode: "private",
      CgroupParent: "/tree/alice/web.d/2-17",
      Tmpfs: { "/tmp": "rw,nosuid,nodev,exec,size=67108864,mode=1777" },
      ShmSize: 67_108_864,
      Mounts: [
        {
          Type: "bind",
          Source: "/home/alice",
          Target: "/home/alice",
          ReadOnly: false,
          BindOptions: { Propagation: "rprivate" },
        },
        {
          Type: "bind",
          Source: "/run/guests/g1",
          Target: "/run/dmhost",
          ReadOnly: true,
          BindOptions: { Propagation: "rprivate" },
        },
        {
          Type: "bind",
          Source: "/usr/lib/dmhost/dmhost-shim",
          Target: "/dmhost-shim",
          ReadOnly: true,
          BindOptions: { Propagation: "rprivate" },
        },
      ],
      Binds: [],
      VolumesFrom: [],
      PidsLimit: 21,
      Memory: 64 << 20,
      MemorySwap: 64 << 20,
      NanoCpus: 500_000_000,
      OomKillDisable: false,
      OomScoreAdj: 0,
      Devices: [],
      DeviceCgroupRules: [],
      DeviceRequests: [],
      Ulimits: [],
      Sysctls: {},
      Links: [],
      ExtraHosts: [],
      PortBindings: {},
      PublishAllPorts: false,
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      Init: false,
      LogConfig: { Type: "none", Config: {} },
    },
  });
});

test("a container without limits of memory and processors has 0 for them, and no parent where none is given", () => {
  const limits = { memory: undefined, processes: 513, nanoCpus: undefined };
  const { HostConfig } = containerBody(containerParts({ limits, cgroupParent: undefined }));
  expect(HostConfig).toMatchObject({ Memory: 0, MemorySwap: 0, NanoCpus: 0, PidsLimit: 513 });
  expect("CgroupParent" in HostConfig).toBe(false);
});

test("only network=outbound puts a container on the engine's bridge", () => {
  const body = containerBody(containerParts({ network: "outbound" }));
  expect([body.NetworkDisabled, body.HostConfig.NetworkMode]).toEqual([false, "bridge"]);
});

test("each variable of the image is taken away from the first process, and none replaces the token", () => {
  const environment = [
    "PATH=/bin",
    "LD_PRELOAD=/evil.so",
    "LD_AUDIT",
    "PATH=/sbin",
    "DMHOST_TOKEN=guess",
    "=x",
    "a b=c",
  ];
  const { Env } = containerBody(containerParts({ image: presentImage({ environment }) }));
  expect(Env).toEqual(["PATH", "LD_PRELOAD", "LD_AUDIT", "a b", "DMHOST_TOKEN=0123456789abcdef"]);
});

test("no label of the image keeps its value, and none replaces ours", () => {
  const labels = ["com.docker.compose.project", "io.dmhost.broker", "io.dmhost.owner"];
  expect(containerBody(containerParts({ image: presentImage({ labels }) })).Labels).toMatchObject({
    "com.docker.compose.project": "",
    "io.dmhost.broker": "b0",
    "io.dmhost.owner": "alice",
  });
});

test("neither entrypoint, command nor working directory of the image reaches the engine", () => {
  const image = presentImage({ entrypoint: ["/evil"], arguments: ["-x"], directory: "/home/alice/made/by/root" });
  const body = containerBody(containerParts({ image }));
  expect(JSON.stringify(body)).not.toMatch(/evil|-x|made/);
});

test("an image with volumes and an account of uid 0 are refused", () => {
  expect(() => containerBody(containerParts({ image: presentImage({ volumes: ["/data"] }) }))).toThrow(
    "the image declares the VOLUME /data",
  );
  expect(() => containerBody(containerParts({ uid: 0 }))).toThrow("no container runs as root");
});

test.each([
  ["my_site.org", "my-site-org"],
  ["a_", "a"],
  [`${"b".repeat(62)}_c`, "b".repeat(62)],
])("the daemon %s has the host name %s", (name, hostname) => {
  const purpose = { owner: "alice", name, instance: 1, run: 1 };
  expect(containerBody(containerParts({ purpose })).Hostname).toBe(hostname);
});

test("the name of a container ends in random digits", () => {
  expect(containerName({ owner: "alice", name: "web", instance: 1, run: 2 }, "0a1b2c3d")).toBe(
    "dmhost-alice-web-1-2-0a1b2c3d",
  );
});
