/**
 * The body of POST /containers/create, the one template of all containers of tenants (docs/explanation/security.md). All that is not said
 * here is the engine's default, so what could give a container more is said even where it is the default.
 */

import { type ContainerPurpose, containerLabels } from "./container-labels.ts";
import type { ContainerLimits } from "./container-limits.ts";
import { GUEST_DIRECTORY, GUEST_SOCKET, SHIM_PATH, TEMPORARY_SIZE } from "./container-places.ts";
import type { PresentImage } from "./engine.ts";
import { withoutVariables } from "./image-environment.ts";
import { ContainerRefusal } from "./refusal.ts";

/** What a container is made of. */
export interface ContainerParts {
  readonly purpose: ContainerPurpose;
  /** The run-as account. */
  readonly uid: number;
  readonly gid: number;
  /** All of its groups; they may contain the primary one. */
  readonly groups: readonly number[];
  /** Its home. */
  readonly home: string;
  readonly limits: ContainerLimits;
  readonly network: "none" | "outbound";
  readonly image: PresentImage;
  /** Directory of the machine with the socket of the container's shim. */
  readonly guest: string;
  /** Program of the shim on the machine. */
  readonly shim: string;
  readonly token: string;
  /** Id of the broker and of this attempt, for the labels. */
  readonly broker: string;
  readonly attempt: string;
  readonly cgroupParent: string | undefined;
}

/** Longest host name, in characters. */
const LONGEST_HOSTNAME = 63;

/** The name of a daemon as a host name. */
const hostnameOf = (name: string): string =>
  name
    .replaceAll(/[^A-Za-z0-9-]/g, "-")
    .slice(0, LONGEST_HOSTNAME)
    .replaceAll(/^-+|-+$/g, "");

const bind = (source: string, target: string, readOnly: boolean) =>
  ({
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    // What is mounted in the container stays there, and what is mounted on the machine later does not reach it.
    BindOptions: { Propagation: "rprivate" },
  }) as const;

/**
 * @throws ContainerRefusal for an image with volumes: they would be writable, outside of all limits, and stay when the container is gone; and for
 * an account of uid 0
 */
export const containerBody = (parts: ContainerParts) => {
  const { purpose, uid, gid, groups, home, limits, network, image, guest, shim, token, cgroupParent } = parts;
  if (uid === 0) throw new ContainerRefusal("refused", "no container runs as root; set user= to another account");
  const [volume] = image.volumes;
  if (volume !== undefined) {
    const why = "it would be writable and outside of the limits";
    throw new ContainerRefusal("refused", `the image declares the VOLUME ${volume}: ${why}; build one without VOLUME`);
  }
  return {
    Image: image.id,
    Hostname: hostnameOf(purpose.name),
    Domainname: "",
    User: `${uid}:${gid}`,
    Entrypoint: [SHIM_PATH, "-j", `${GUEST_DIRECTORY}/${GUEST_SOCKET}`],
    Cmd: [],
    Env: [...withoutVariables(image.environment).filter((name) => name !== "DMHOST_TOKEN"), `DMHOST_TOKEN=${token}`],
    // Any other would be made where it is missing, by root, and below a bind that is in the tenant's home.
    WorkingDir: "/",
    // The engine adds the image's labels, by which other programs would take the container for theirs (com.docker.compose.project).
    Labels: {
      ...Object.fromEntries(image.labels.map((label) => [label, ""])),
      ...containerLabels(purpose, parts.broker, parts.attempt),
    },
    Healthcheck: { Test: ["NONE"] },
    StopSignal: "SIGTERM",
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    NetworkDisabled: network === "none",
    ExposedPorts: {},
    Volumes: {},
    HostConfig: {
      GroupAdd: [...new Set(groups)].filter((group) => group !== gid).map(String),
      CapAdd: [],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      Privileged: false,
      ReadonlyRootfs: true,
      NetworkMode: network === "none" ? "none" : "bridge",
      PidMode: "",
      IpcMode: "private",
      UTSMode: "",
      UsernsMode: "",
      CgroupnsMode: "private",
      ...(cgroupParent !== undefined && { CgroupParent: cgroupParent }),
      Tmpfs: { "/tmp": `rw,nosuid,nodev,exec,size=${TEMPORARY_SIZE},mode=1777` },
      ShmSize: TEMPORARY_SIZE,
      Mounts: [bind(home, home, false), bind(guest, GUEST_DIRECTORY, true), bind(shim, SHIM_PATH, true)],
      Binds: [],
      VolumesFrom: [],
      PidsLimit: limits.processes,
      // No swap: it would escape the limit. 0 is no limit.
      Memory: limits.memory ?? 0,
      MemorySwap: limits.memory ?? 0,
      NanoCpus: limits.nanoCpus ?? 0,
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
  } as const;
};

/** The body of a request that creates a container. */
export type ContainerBody = ReturnType<typeof containerBody>;

/** Name of a container: the end is random, so that a foreign container of the same name costs nothing. */
export const containerName = ({ owner, name, instance, run }: ContainerPurpose, random: string): string =>
  `dmhost-${owner}-${name}-${instance}-${run}-${random}`;
