/** The broker on a real engine: what its containers really are, what it refuses, and what it leaves. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Account } from "../system/account.ts";
import { CHECKOUT, command, eventually, succeed } from "./appliance.ts";
import { BrokerStage, IMAGE, refusal, TOKEN } from "./broker-stage.ts";
import { ImageRegistry } from "./image-registry.ts";

let stage: BrokerStage;
let alice: Account;

const make = (name: string) => stage.make(name);

beforeAll(async () => {
  stage = await BrokerStage.make(process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock");
  alice = stage.alice;
});
afterEach(() => stage.closeGuests());
afterAll(() => stage?.remove());

test("it says which engine there is", async () => {
  const hello = await stage.supervisor.request("hello", { version: 1 });
  expect(hello.engine).toMatch(/^Docker \d/);
  expect(["cgroupfs", "systemd"]).toContain(hello.cgroupDriver);
});

test("a container is what the template says, and its shim connects with its token", async () => {
  const { joined, made } = await make("web");
  expect((await joined).includes(TOKEN)).toBe(true);
  expect(made).toMatchObject({ command: ["serve", "-x"], environment: ["GREETING=hello"], directory: "/srv/app" });
  expect(made.home.path).toBe(alice.home);
  const { State, HostConfig, Config } = await stage.inspect(made.container);
  const { Pid: pid } = State;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1] ?? "";
  expect(field("Uid").split("\t")).toEqual(Array(4).fill(String(alice.uid)));
  expect(field("Gid").split("\t")).toEqual(Array(4).fill(String(alice.gid)));
  expect(field("Groups").split(" ")).toContain(String(stage.extra));
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(field(set)).toMatch(/^0+$/);
  expect(field("NoNewPrivs")).toBe("1");
  expect(field("Seccomp")).toBe("2");
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .map(([, , , , path, options]) => [path, options?.split(",") ?? []] as const);
  const options = new Map(mounts);
  expect(options.get("/")).toContain("ro");
  expect(options.get("/run/dmhost")).toContain("ro");
  expect(options.get("/dmhost-shim")).toContain("ro");
  expect(options.get("/tmp")).toEqual(expect.arrayContaining(["rw", "nosuid", "nodev"]));
  expect(options.get(alice.home)).toContain("rw");
  const ours = mounts.map(([path = ""]) => path).filter((path) => path !== "" && !/^\/(proc|sys|dev)(\/|$)/.test(path));
  // The engine makes the last three itself.
  const others = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];
  expect(ours.filter((path) => !others.includes(path)).sort()).toEqual(
    ["/", "/tmp", "/run/dmhost", "/dmhost-shim", alice.home].sort(),
  );
  const links = readFileSync(`/proc/${pid}/net/dev`, "utf8")
    .split("\n")
    .slice(2)
    .filter((line) => line.trim() !== "");
  expect(
    links
      .map((line) => line.split(":")[0]?.trim())
      .filter((name) => !/^(lo|tunl0|sit0|ip6tnl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6gre0)$/.test(name ?? "")),
  ).toEqual([]);
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
  expect(environment).toContain(`DMHOST_TOKEN=${TOKEN}`);
  expect(environment).not.toMatch(/LD_PRELOAD|GREETING/);
  expect(HostConfig).toMatchObject({ PidsLimit: 21, Memory: 64 << 20, MemorySwap: 64 << 20, NanoCpus: 500_000_000 });
  expect(HostConfig).toMatchObject({ NetworkMode: "none", LogConfig: { Type: "none" }, RestartPolicy: { Name: "no" } });
  expect(Config.Image).toMatch(/^sha256:/);
  expect(Config.Labels).toMatchObject({ "com.docker.compose.project": "", "io.dmhost.owner": alice.name });
  await expect(stage.supervisor.request("list", {})).resolves.toMatchObject({
    containers: [
      { container: made.container, owner: alice.name, name: "web", instance: 1, running: true, exitCode: null },
    ],
  });
  await stage.supervisor.request("remove", { container: made.container });
  await stage.supervisor.request("remove", { container: made.container });
  await eventually(
    "the event of its removal",
    async () =>
      stage.supervisor.events.some((event) => event.kind === "removed" && event.container === made.container) ||
      undefined,
  );
  expect(await stage.labelled()).toEqual([]);
});

test("the end of a container is an event with its exit code", async () => {
  const { joined, made } = await make("web");
  await joined;
  await stage.docker("kill", "--signal", "KILL", made.container);
  await eventually(
    "its end",
    async () =>
      stage.supervisor.events.some(
        (event) => event.kind === "ended" && event.container === made.container && event.exitCode === 137,
      ) || undefined,
  );
  await stage.supervisor.request("remove", { container: made.container });
});

test("what policy, conf file or image do not permit is refused with the reason", async () => {
  stage.conf("ungranted", "image = debian:12");
  stage.conf("network", `image = ${IMAGE}:plain`, "network = outbound");
  stage.conf("root", `image = ${IMAGE}:plain`, "user = root");
  stage.conf("process", "start = exec true");
  stage.conf("broken", "image = UPPER", "cpu = many");
  stage.conf("absent", `image = ${IMAGE}:nowhere`);
  await stage.makeImage("volume", {}, "VOLUME /data");
  stage.conf("volume", `image = ${IMAGE}:volume`);
  const reasons: Record<string, [string, RegExp]> = {
    ungranted: ["refused", /no line of \[images\]/],
    network: ["refused", /network=outbound/],
    root: ["refused", /may not run as "root"/],
    process: ["refused", /names no image/],
    broken: ["refused", /broken\.conf:1: image/],
    missing: ["refused", /no conf file/],
    absent: ["absent", /not on this machine/],
    volume: ["refused", /VOLUME \/data/],
  };
  for (const [name, [code, reason]] of Object.entries(reasons)) {
    const error = await refusal(make(name));
    expect([name, error.code]).toEqual([name, code]);
    expect(error.message).toMatch(reason);
  }
  expect(await stage.labelled()).toEqual([]);
});

test("a container gets a network where policy and conf file say so", async () => {
  writeFileSync(stage.policy, `${readFileSync(stage.policy, "utf8")}[images]\n${alice.name}: network=outbound\n`);
  stage.conf("outbound", `image = ${IMAGE}:plain`, "network = outbound");
  const { made } = await make("outbound");
  const { State, HostConfig } = await stage.inspect(made.container);
  expect(HostConfig.NetworkMode).toBe("bridge");
  expect(readFileSync(`/proc/${State.Pid}/net/dev`, "utf8")).toMatch(/eth0:/);
  await stage.supervisor.request("remove", { container: made.container });
});

test("an image cannot give the container another group by a name that is a number", async () => {
  await stage.makeImage("group", { "etc/group": `${stage.extra}:x:0:\n` });
  stage.conf("group", `image = ${IMAGE}:group`);
  expect((await refusal(make("group"))).message).toMatch(/it has the groups 0 /);
  expect(await stage.labelled()).toEqual([]);
});

test("a moved tag is refused until root accepts it", async () => {
  await stage.makeImage("moving", { "etc/one": "1" });
  stage.conf("moving", `image = ${IMAGE}:moving`);
  const first = await make("moving");
  await stage.supervisor.request("remove", { container: first.made.container });
  await stage.makeImage("moving", { "etc/two": "2" });
  const error = await refusal(make("moving"));
  expect(error.message).toMatch(/moved: .*dmctl images accept docker\.io\/library\/dmhost-broker-test:moving/);
  const image = `docker.io/library/${IMAGE}:moving`;
  const { images } = await stage.supervisor.request("images", {});
  expect(images).toContainEqual(expect.objectContaining({ image, moved: true, usedBy: [`${alice.name}/moving`] }));
  await stage.supervisor.request("accept", { image });
  const second = await make("moving");
  await stage.supervisor.request("remove", { container: second.made.container });
});

test("a foreign container is neither listed nor removed, also with look-alike labels or our label and no record", async () => {
  const shim = `${join(CHECKOUT, "shim/dmhost-shim")}:/shim:ro`;
  const create = ["create", "--entrypoint", "/shim", "--volume", shim];
  const labels = ["--label", "io.dmhost.broker=0123", "--label", `io.dmhost.owner=${alice.name}`];
  const foreign = await stage.docker(...create, ...labels, `${IMAGE}:plain`);
  try {
    expect((await refusal(stage.supervisor.request("remove", { container: foreign }))).code).toBe("foreign");
    expect((await stage.supervisor.request("list", {})).containers).toEqual([]);
    // A broker that was killed between create and record leaves one like this.
    const orphan = await stage.docker(...create, "--label", `io.dmhost.broker=${stage.brokerId}`, `${IMAGE}:plain`);
    expect((await refusal(stage.supervisor.request("remove", { container: orphan }))).code).toBe("foreign");
    await stage.restart();
    await eventually("the removal of the orphan", async () => (await stage.labelled()).length === 0 || undefined);
    expect((await stage.inspect(foreign)).Id).toBe(foreign);
  } finally {
    await stage.docker("rm", "--force", foreign);
  }
});

test("a broker that is killed while it makes a container leaves none that its successor does not know", async () => {
  for (const delay of [5, 30, 60, 90, 130, 180, 250, 350]) {
    const making = make("web").catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, delay));
    await stage.restart();
    await making;
    const known = await eventually("one view of broker and engine", async () => {
      const ids = (await stage.supervisor.request("list", {})).containers.map(({ container }) => container).sort();
      return JSON.stringify(ids) === JSON.stringify(await stage.labelled()) ? ids : undefined;
    });
    for (const container of known) await stage.supervisor.request("remove", { container });
    expect(await stage.labelled()).toEqual([]);
  }
});

/** A layer with a file of so many random bytes. */
const layerOf = async (bytes: number): Promise<Buffer> => {
  const root = join(stage.directory, "layer");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  writeFileSync(join(root, "file"), randomBytes(bytes));
  const tar = join(stage.directory, "layer.tar");
  await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
  return readFileSync(tar);
};

test("an image is pulled with progress, pinned by its digest, and fails with the registry's words", async () => {
  const registry = await ImageRegistry.start();
  const image = `${registry.name}/site:1`;
  try {
    const digest = registry.push("1", await layerOf(16 << 20));
    writeFileSync(stage.policy, `${readFileSync(stage.policy, "utf8")}[images]\n${alice.name}: ${registry.name}/*\n`);
    stage.conf("pulled", `image = ${image}`);
    stage.conf("nowhere", `image = ${registry.name}/site:2`);
    const named = { owner: alice.name };
    expect((await refusal(make("pulled"))).code).toBe("absent");
    await stage.supervisor.request("pull", { ...named, name: "pulled" });
    expect(stage.supervisor.percentages.length).toBeGreaterThan(0);
    await stage.supervisor.request("pull", { ...named, name: "pulled" });
    const { made } = await make("pulled");
    expect(made.command).toEqual(["serve"]);
    await stage.supervisor.request("remove", { container: made.container });
    expect((await stage.supervisor.request("images", {})).images).toContainEqual(
      expect.objectContaining({ image, recorded: digest, present: digest, moved: false }),
    );
    const error = await refusal(stage.supervisor.request("pull", { ...named, name: "nowhere" }));
    expect(error.message).toMatch(/^pull: .*site:2 cannot be fetched: .*(manifest|not found)/);
    await stage.docker("rmi", "--force", image);
    registry.push("1", await layerOf(1000));
    await stage.supervisor.request("pull", { ...named, name: "pulled" });
    expect((await refusal(make("pulled"))).message).toContain(`was ${digest} at its first use`);
    stage.conf("pulled", `image = ${registry.name}/site@${digest}`);
    await stage.supervisor.request("pull", { ...named, name: "pulled" });
    const pinned = await make("pulled");
    await stage.supervisor.request("remove", { container: pinned.made.container });
  } finally {
    for (const id of new Set((await stage.docker("images", "--quiet", `${registry.name}/site`)).split("\n")))
      if (id !== "") await stage.docker("rmi", "--force", id);
    await registry.stop();
  }
});

test("an account, a socket or a home that is not as it must be gets no container", async () => {
  const aside = `${alice.home}.aside`;
  renameSync(alice.home, aside);
  symlinkSync("/etc", alice.home);
  try {
    // Through the link not even the conf file is read.
    expect((await refusal(make("web"))).code).toBe("refused");
  } finally {
    rmSync(alice.home);
    renameSync(aside, alice.home);
  }
  chmodSync(join(stage.directory, "homes"), 0o777);
  expect((await refusal(make("web"))).message).toMatch(/accounts besides root may write to .*homes/);
  chmodSync(join(stage.directory, "homes"), 0o755);
  chownSync(alice.home, 0, 0);
  chmodSync(alice.home, 0o755);
  expect((await refusal(make("web"))).message).toMatch(/belongs to uid 0/);
  chownSync(alice.home, alice.uid, alice.gid);
  expect(await stage.labelled()).toEqual([]);
});

test("another account than the supervisor's is not served, and a newer connection ends the older one", async () => {
  chmodSync(join(stage.directory, "broker.sock"), 0o666);
  const script =
    '$SIG{PIPE} = "IGNORE"; use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "{\\"id\\":1,\\"verb\\":\\"list\\"}\\n"; print "got: ", scalar(<$s>) // "nothing"';
  const as = ["setpriv", "--reuid", String(alice.uid), "--clear-groups", "perl", "-e", script];
  const [program = "", ...args] = [...as, join(stage.directory, "broker.sock")];
  expect((await command(process.env, program, ...args)).stdout).not.toContain("result");
  const older = stage.supervisor;
  stage.supervisor = await stage.broker.connect();
  await stage.supervisor.request("list", {});
  await expect(older.request("list", {})).rejects.toThrow();
});

test("a damaged record of images refuses, and says what to do", async () => {
  const path = join(stage.directory, "state/images.json");
  await stage.broker.kill();
  const copy = `${path}.copy`;
  cpSync(path, copy);
  writeFileSync(path, readFileSync(path, "utf8").replace("sha256:", "sha256:0"));
  await stage.restart();
  expect((await refusal(make("web"))).message).toMatch(/images\.json: is damaged.*restore it, or remove it/);
  // Containers that run are still known.
  await stage.supervisor.request("hello", { version: 1 });
  await stage.broker.kill();
  cpSync(copy, path);
  await stage.restart();
  const { made } = await make("web");
  await stage.supervisor.request("remove", { container: made.container });
});
