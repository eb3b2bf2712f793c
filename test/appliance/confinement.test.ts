/** What the containers can reach (docs/explanation/security.md#containers). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Appliance } from "./appliance.ts";
import { HostAccount } from "./host-account.ts";

let appliance: Appliance;
let neighbour: HostAccount;

beforeAll(async () => {
  neighbour = await HostAccount.make("dmap-neighbour");
  appliance = await Appliance.prepare();
  await appliance.dmhost("up");
});
afterAll(async () => {
  await appliance?.remove();
  await HostAccount.remove("dmap-neighbour");
});

const capabilities = (names: readonly string[] | null): string[] =>
  (names ?? []).map((name) => name.replace(/^CAP_/, "")).sort();

describe("both containers", () => {
  it("the supervisor has six capabilities, and nginx none", async () => {
    const supervisor = (await appliance.inspect("supervisor")).HostConfig;
    expect(capabilities(supervisor.CapDrop)).toEqual(["ALL"]);
    expect(capabilities(supervisor.CapAdd)).toEqual(["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]);
    const nginx = (await appliance.inspect("nginx")).HostConfig;
    expect(capabilities(nginx.CapDrop)).toEqual(["ALL"]);
    expect(capabilities(nginx.CapAdd)).toEqual([]);
    // KILL 5, SETGID 6, SETUID 7, SETPCAP 8, SYS_CHROOT 18, CHOWN 0
    const effective = (1 << 0) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 18);
    const read = (service: string) =>
      appliance.shell(service, "sed -n 's/^CapEff:.//p; s/^CapBnd:.//p' /proc/1/status");
    const both = (mask: number) => Array(2).fill(mask.toString(16).padStart(16, "0")).join("\n");
    expect(await read("supervisor")).toBe(both(effective));
    expect(await read("nginx")).toBe(["0".repeat(16), "0".repeat(16)].join("\n"));
  });

  it("both containers are unprivileged, read-only, outside the host's namespaces, and gain no privileges", async () => {
    for (const service of ["supervisor", "nginx"]) {
      const { HostConfig } = await appliance.inspect(service);
      expect(HostConfig.Privileged).toBe(false);
      expect(HostConfig.ReadonlyRootfs).toBe(true);
      expect(HostConfig.SecurityOpt).toEqual(["no-new-privileges:true"]);
      expect(HostConfig.PidMode).toBe("");
      expect(HostConfig.IpcMode).not.toBe("host");
      expect(HostConfig.NetworkMode).not.toBe("host");
      expect(HostConfig.Devices ?? []).toEqual([]);
      expect(await appliance.shell(service, "sed -n 's/^NoNewPrivs:.//p' /proc/1/status")).toBe("1");
      const touched = await appliance.exec(service, "touch", "/usr/local/bin/x");
      expect(touched.stderr).toContain("Read-only file system");
    }
  });

  it("containers can write only the listed directories of the host, and have no Docker socket", async () => {
    const writable = async (service: string) =>
      (await appliance.inspect(service)).Mounts.filter(({ RW }) => RW)
        .map(({ Destination }) => Destination)
        .sort();
    expect(await writable("nginx")).toEqual([
      "/etc/dmhost-nginx/accepted",
      "/run/fastcgi",
      "/run/fastcgi/.bound",
      "/var/log/dmhost-sites",
    ]);
    expect(await writable("supervisor")).toEqual([
      "/home",
      "/run/dmhost",
      "/run/dmhost-cgroup",
      "/run/dmhost-sites/offered",
      "/run/fastcgi",
      "/run/fastcgi/.bound",
      "/var/lib/dmhost/demo",
      "/var/lib/dmhost/state",
      "/var/log/daemon-manager",
      "/var/log/dmhost-sites",
    ]);
    const { Mounts } = await appliance.inspect("supervisor");
    expect(Mounts.map(({ Source }) => Source).filter((source) => source.includes("docker.sock"))).toEqual([]);
  });
});

describe("the supervisor's root", () => {
  it("root in the supervisor's container can neither read nor write a tenant's files", async () => {
    await neighbour.write("secret", "s3cret\n");
    await neighbour.run(process.env, "chmod", "600", `${neighbour.home}/secret`);
    const read = await appliance.exec("supervisor", "cat", `${neighbour.home}/secret`);
    expect(read.stderr).toContain("Permission denied");
    const written = await appliance.exec("supervisor", "touch", `${neighbour.home}/root-was-here`);
    expect(written.stderr).toContain("Permission denied");
  });
});

describe("where daemons bind sockets of their own", () => {
  it("bind directories are on a small file system, apart from the published sockets", async () => {
    const mounts = await appliance.exec("supervisor", "cat", "/proc/mounts");
    expect(mounts.stdout).toMatch(/^\S+ \/run\/fastcgi\/\.bound tmpfs \S*size=65536k,nr_inodes=65536/m);
  });
});

describe("nginx", () => {
  it("nginx has no root process, and belongs to the sockets' group alone", async () => {
    const identities = await appliance.shell(
      "nginx",
      "grep -hE '^([UG]id|Groups):' $(grep -ls '^Name:.nginx' /proc/[0-9]*/status)",
    );
    const lines = new Set(identities.split("\n").map((line) => line.trim().replace(/\s+/g, " ")));
    expect([...lines].sort()).toEqual([
      "Gid: 65080 65080 65080 65080",
      "Groups: 65080",
      "Uid: 65080 65080 65080 65080",
    ]);
  });

  it("nginx can connect to published sockets, and can neither list, add nor remove them", async () => {
    const socket = "/run/fastcgi/dmhost-demo/site.sock";
    expect((await appliance.exec("nginx", "test", "-w", socket)).code).toBe(0);
    expect((await appliance.exec("nginx", "ls", "/run/fastcgi")).stderr).toContain("Permission denied");
    expect((await appliance.exec("nginx", "rm", "-f", socket)).stderr).toContain("Permission denied");
    expect((await appliance.exec("nginx", "touch", "/run/fastcgi/x")).stderr).toContain("Permission denied");
    expect((await appliance.exec("nginx", "ls", "/run/fastcgi/.bound")).stderr).toContain("Permission denied");
  });
});
