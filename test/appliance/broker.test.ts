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
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Account, makeGroup, nameFor, removeGroup } from "../system/account.ts";
import { CHECKOUT, command, eventually, succeed } from "./appliance.ts";
import { type BrokerConnection, BrokerProcess, BrokerRefusal } from "./broker-process.ts";
import { ImageRegistry } from "./image-registry.ts";

const HOST = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
const ENGINE = HOST.replace(/^unix:\/\//, "");
/** Each part of it is root's, as containers need it. */
const DIRECTORY = `/var/lib/dmhost-broker-${process.pid}`;
const POLICY = join(DIRECTORY, "policy");
const TOKEN = "0123456789abcdef0123456789abcdef";
const IMAGE = "dmhost-broker-test";

let alice: Account;
let extra: number;
let broker: BrokerProcess;
let supervisor: BrokerConnection;
let run = 0;
const servers: Server[] = [];

const docker = (...args: string[]): Promise<string> =>
  succeed({ ...process.env, DOCKER_HOST: HOST }, "docker", ...args);

/** Makes an image of files and changes; returns its id. */
const makeImage = async (
  tag: string,
  files: Readonly<Record<string, string>>,
  ...changes: string[]
): Promise<string> => {
  const root = join(DIRECTORY, "image");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, "etc"), { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
  const tar = join(DIRECTORY, "image.tar");
  await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
  return docker("import", ...changes.flatMap((change) => ["--change", change]), tar, `${IMAGE}:${tag}`);
};

const conf = (name: string, ...lines: string[]): void =>
  void alice.write(`.daemon-manager/daemons/${name}.conf`, `${lines.join("\n")}\n`);

/** The next guest, with a socket; `token` resolves with what connected. */
const guest = async (): Promise<{ name: string; joined: Promise<Buffer> }> => {
  const name = `g${randomBytes(4).toString("hex")}`;
  const directory = join(DIRECTORY, "guests", name);
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  const { promise: joined, resolve } = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (bytes) => resolve(bytes as Buffer));
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(join(directory, "shim.sock"), listening));
  chmodSync(join(directory, "shim.sock"), 0o666);
  return { name, joined };
};

const make = async (name: string) => {
  const { name: directory, joined } = await guest();
  run += 1;
  const fields = { owner: alice.name, name, instance: 1, run, guest: directory, token: TOKEN };
  return { joined, made: await supervisor.request("make", fields) };
};

const refusal = async (request: Promise<unknown>): Promise<BrokerRefusal> => {
  const error = await request.then(
    () => new Error("it was carried out"),
    (reason: unknown) => reason,
  );
  if (error instanceof BrokerRefusal) return error;
  throw error;
};

const inspect = async (container: string) => JSON.parse(await docker("inspect", container))[0];
const brokerId = (): string => JSON.parse(readFileSync(join(DIRECTORY, "state/id.json"), "utf8")).value;
/** Ids of all containers with the broker's label. */
const labelled = async (): Promise<string[]> =>
  (await docker("ps", "--all", "--quiet", "--no-trunc", "--filter", `label=io.dmhost.broker=${brokerId()}`))
    .split("\n")
    .filter((id) => id !== "")
    .sort();

beforeAll(async () => {
  rmSync(DIRECTORY, { recursive: true, force: true });
  mkdirSync(join(DIRECTORY, "homes"), { recursive: true });
  for (const path of [DIRECTORY, join(DIRECTORY, "homes")]) chmodSync(path, 0o755);
  extra = await makeGroup("extra");
  alice = await Account.make("alice", join(DIRECTORY, "homes"), [nameFor("extra")]);
  const images = `${IMAGE}:*`;
  writeFileSync(
    POLICY,
    `[runs_as]\n${alice.name}:\n[images]\n${alice.name}: ${images}\n[limits]\n${alice.name}: memory = 64M\n`,
  );
  chmodSync(POLICY, 0o644);
  await makeImage(
    "plain",
    {},
    "ENV LD_PRELOAD=/evil.so",
    "ENV GREETING=hello",
    'CMD ["serve","-x"]',
    "WORKDIR /srv/app",
  );
  conf("web", `image = ${IMAGE}:plain`, "processes = 20", "cpu = 0.5");
  broker = new BrokerProcess({ directory: DIRECTORY, policy: POLICY, engine: ENGINE });
  await broker.start();
  supervisor = await broker.connect();
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(async () => {
  await broker?.kill();
  for (const id of await labelled()) await docker("rm", "--force", id);
  for (const tag of (await docker("images", "--quiet", IMAGE)).split("\n"))
    if (tag !== "") await docker("rmi", "--force", tag);
  await alice?.remove();
  await removeGroup(nameFor("extra"));
  rmSync(DIRECTORY, { recursive: true, force: true });
});

test("it says which engine there is", async () => {
  const hello = await supervisor.request("hello", { version: 1 });
  expect(hello.engine).toMatch(/^Docker \d/);
  expect(["cgroupfs", "systemd"]).toContain(hello.cgroupDriver);
});

test("a container is what the template says, and its shim connects with its token", async () => {
  const { joined, made } = await make("web");
  expect((await joined).includes(TOKEN)).toBe(true);
  expect(made).toMatchObject({ command: ["serve", "-x"], environment: ["GREETING=hello"], directory: "/srv/app" });
  expect(made.home.path).toBe(alice.home);
  const { State, HostConfig, Config } = await inspect(made.container);
  const { Pid: pid } = State;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1] ?? "";
  expect(field("Uid").split("\t")).toEqual(Array(4).fill(String(alice.uid)));
  expect(field("Gid").split("\t")).toEqual(Array(4).fill(String(alice.gid)));
  expect(field("Groups").split(" ")).toContain(String(extra));
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
  await expect(supervisor.request("list", {})).resolves.toMatchObject({
    containers: [
      { container: made.container, owner: alice.name, name: "web", instance: 1, running: true, exitCode: null },
    ],
  });
  await supervisor.request("remove", { container: made.container });
  await supervisor.request("remove", { container: made.container });
  await eventually(
    "the event of its removal",
    async () =>
      supervisor.events.some((event) => event.kind === "removed" && event.container === made.container) || undefined,
  );
  expect(await labelled()).toEqual([]);
});

test("the end of a container is an event with its exit code", async () => {
  const { joined, made } = await make("web");
  await joined;
  await docker("kill", "--signal", "KILL", made.container);
  await eventually(
    "its end",
    async () =>
      supervisor.events.some(
        (event) => event.kind === "ended" && event.container === made.container && event.exitCode === 137,
      ) || undefined,
  );
  await supervisor.request("remove", { container: made.container });
});

test("what policy, conf file or image do not permit is refused with the reason", async () => {
  conf("ungranted", "image = debian:12");
  conf("network", `image = ${IMAGE}:plain`, "network = outbound");
  conf("root", `image = ${IMAGE}:plain`, "user = root");
  conf("process", "start = exec true");
  conf("broken", "image = UPPER", "cpu = many");
  conf("absent", `image = ${IMAGE}:nowhere`);
  await makeImage("volume", {}, "VOLUME /data");
  conf("volume", `image = ${IMAGE}:volume`);
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
  expect(await labelled()).toEqual([]);
});

test("an image cannot give the container another group by a name that is a number", async () => {
  await makeImage("group", { "etc/group": `${extra}:x:0:\n` });
  conf("group", `image = ${IMAGE}:group`);
  expect((await refusal(make("group"))).message).toMatch(/it has the groups 0 /);
  expect(await labelled()).toEqual([]);
});

test("a moved tag is refused until root accepts it", async () => {
  await makeImage("moving", { "etc/one": "1" });
  conf("moving", `image = ${IMAGE}:moving`);
  const first = await make("moving");
  await supervisor.request("remove", { container: first.made.container });
  await makeImage("moving", { "etc/two": "2" });
  const error = await refusal(make("moving"));
  expect(error.message).toMatch(/moved: .*dmctl images accept docker\.io\/library\/dmhost-broker-test:moving/);
  const image = `docker.io/library/${IMAGE}:moving`;
  const { images } = await supervisor.request("images", {});
  expect(images).toContainEqual(expect.objectContaining({ image, moved: true, usedBy: [`${alice.name}/moving`] }));
  await supervisor.request("accept", { image });
  const second = await make("moving");
  await supervisor.request("remove", { container: second.made.container });
});

test("a foreign container is neither listed nor removed, also with look-alike labels or our label and no record", async () => {
  const shim = `${join(CHECKOUT, "shim/dmhost-shim")}:/shim:ro`;
  const create = ["create", "--entrypoint", "/shim", "--volume", shim];
  const labels = ["--label", "io.dmhost.broker=0123", "--label", `io.dmhost.owner=${alice.name}`];
  const foreign = await docker(...create, ...labels, `${IMAGE}:plain`);
  try {
    expect((await refusal(supervisor.request("remove", { container: foreign }))).code).toBe("foreign");
    expect((await supervisor.request("list", {})).containers).toEqual([]);
    // A broker that was killed between create and record leaves one like this.
    const orphan = await docker(...create, "--label", `io.dmhost.broker=${brokerId()}`, `${IMAGE}:plain`);
    expect((await refusal(supervisor.request("remove", { container: orphan }))).code).toBe("foreign");
    await broker.kill();
    await broker.start();
    supervisor = await broker.connect();
    await eventually("the removal of the orphan", async () => (await labelled()).length === 0 || undefined);
    expect((await inspect(foreign)).Id).toBe(foreign);
  } finally {
    await docker("rm", "--force", foreign);
  }
});

test("a broker that is killed while it makes a container leaves none that its successor does not know", async () => {
  for (const delay of [5, 30, 60, 90, 130, 180, 250, 350]) {
    const making = make("web").catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, delay));
    await broker.kill();
    await making;
    await broker.start();
    supervisor = await broker.connect();
    const known = await eventually("one view of broker and engine", async () => {
      const ids = (await supervisor.request("list", {})).containers.map(({ container }) => container).sort();
      return JSON.stringify(ids) === JSON.stringify(await labelled()) ? ids : undefined;
    });
    for (const container of known) await supervisor.request("remove", { container });
    expect(await labelled()).toEqual([]);
  }
});

/** A layer with a file of so many random bytes. */
const layerOf = async (bytes: number): Promise<Buffer> => {
  const root = join(DIRECTORY, "layer");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  writeFileSync(join(root, "file"), randomBytes(bytes));
  const tar = join(DIRECTORY, "layer.tar");
  await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
  return readFileSync(tar);
};

test("an image is pulled with progress, pinned by its digest, and fails with the registry's words", async () => {
  const registry = await ImageRegistry.start();
  const image = `${registry.name}/site:1`;
  try {
    const digest = registry.push("1", await layerOf(16 << 20));
    writeFileSync(POLICY, `${readFileSync(POLICY, "utf8")}[images]\n${alice.name}: ${registry.name}/*\n`);
    conf("pulled", `image = ${image}`);
    conf("nowhere", `image = ${registry.name}/site:2`);
    const named = { owner: alice.name };
    expect((await refusal(make("pulled"))).code).toBe("absent");
    await supervisor.request("pull", { ...named, name: "pulled" });
    expect(supervisor.percentages.length).toBeGreaterThan(0);
    await supervisor.request("pull", { ...named, name: "pulled" });
    const { made } = await make("pulled");
    expect(made.command).toEqual(["serve"]);
    await supervisor.request("remove", { container: made.container });
    expect((await supervisor.request("images", {})).images).toContainEqual(
      expect.objectContaining({ image, recorded: digest, present: digest, moved: false }),
    );
    const error = await refusal(supervisor.request("pull", { ...named, name: "nowhere" }));
    expect(error.message).toMatch(/^pull: .*site:2 cannot be fetched: .*(manifest|not found)/);
    await docker("rmi", "--force", image);
    registry.push("1", await layerOf(1000));
    await supervisor.request("pull", { ...named, name: "pulled" });
    expect((await refusal(make("pulled"))).message).toContain(`was ${digest} at its first use`);
    conf("pulled", `image = ${registry.name}/site@${digest}`);
    await supervisor.request("pull", { ...named, name: "pulled" });
    const pinned = await make("pulled");
    await supervisor.request("remove", { container: pinned.made.container });
  } finally {
    for (const id of new Set((await docker("images", "--quiet", `${registry.name}/site`)).split("\n")))
      if (id !== "") await docker("rmi", "--force", id);
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
  chmodSync(join(DIRECTORY, "homes"), 0o777);
  expect((await refusal(make("web"))).message).toMatch(/accounts besides root may write to .*homes/);
  chmodSync(join(DIRECTORY, "homes"), 0o755);
  chownSync(alice.home, 0, 0);
  chmodSync(alice.home, 0o755);
  expect((await refusal(make("web"))).message).toMatch(/belongs to uid 0/);
  chownSync(alice.home, alice.uid, alice.gid);
  expect(await labelled()).toEqual([]);
});

test("another account than the supervisor's is not served, and a newer connection ends the older one", async () => {
  chmodSync(join(DIRECTORY, "broker.sock"), 0o666);
  const script =
    'use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "{\\"id\\":1,\\"verb\\":\\"list\\"}\\n"; print "got: ", scalar(<$s>) // "nothing"';
  const as = ["setpriv", "--reuid", String(alice.uid), "--clear-groups", "perl", "-e", script];
  const [program = "", ...args] = [...as, join(DIRECTORY, "broker.sock")];
  expect((await command(process.env, program, ...args)).stdout).not.toContain("result");
  const older = supervisor;
  supervisor = await broker.connect();
  await supervisor.request("list", {});
  await expect(older.request("list", {})).rejects.toThrow();
});

test("a damaged record of images refuses, and says what to do", async () => {
  const path = join(DIRECTORY, "state/images.json");
  await broker.kill();
  const copy = `${path}.copy`;
  cpSync(path, copy);
  writeFileSync(path, readFileSync(path, "utf8").replace("sha256:", "sha256:0"));
  await broker.start();
  supervisor = await broker.connect();
  expect((await refusal(make("web"))).message).toMatch(/images\.json: is damaged.*restore it, or remove it/);
  expect((await refusal(supervisor.request("hello", { version: 1 }))).code).toBe("engine");
  await broker.kill();
  cpSync(copy, path);
  await broker.start();
  supervisor = await broker.connect();
  const { made } = await make("web");
  await supervisor.request("remove", { container: made.container });
});
