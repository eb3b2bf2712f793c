/** An account with conf files, a policy, an engine with images, and a broker with a connection to it. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { Account, makeGroup, nameFor, removeGroup } from "../system/account.ts";
import { succeed } from "./appliance.ts";
import { type BrokerConnection, BrokerProcess, BrokerRefusal } from "./broker-process.ts";

/** The repository of the images that a test makes. */
export const IMAGE = "dmhost-broker-test";
/** What the shim of each container sends. */
export const TOKEN = "0123456789abcdef0123456789abcdef";

/** The refusal of a request that must not be carried out. */
export const refusal = async (request: Promise<unknown>): Promise<BrokerRefusal> => {
  const error = await request.then(
    () => new Error("it was carried out"),
    (reason: unknown) => reason,
  );
  if (error instanceof BrokerRefusal) return error;
  throw error;
};

export class BrokerStage {
  /** Each part of it is root's, as containers need it. */
  readonly directory: string;
  readonly policy: string;
  readonly alice: Account;
  /** Gid of a group of alice. */
  readonly extra: number;
  broker: BrokerProcess;
  supervisor: BrokerConnection;
  readonly #host: string;
  readonly #servers: Server[] = [];
  #run = 0;

  private constructor(
    parts: Pick<BrokerStage, "directory" | "policy" | "alice" | "extra" | "broker" | "supervisor">,
    host: string,
  ) {
    this.directory = parts.directory;
    this.policy = parts.policy;
    this.alice = parts.alice;
    this.extra = parts.extra;
    this.broker = parts.broker;
    this.supervisor = parts.supervisor;
    this.#host = host;
  }

  /** @param host of the engine, as in DOCKER_HOST */
  static async make(host: string): Promise<BrokerStage> {
    const directory = `/var/lib/dmhost-broker-${process.pid}`;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(join(directory, "homes"), { recursive: true });
    for (const path of [directory, join(directory, "homes")]) chmodSync(path, 0o755);
    const extra = await makeGroup("extra");
    const alice = await Account.make("alice", join(directory, "homes"), [nameFor("extra")]);
    const policy = join(directory, "policy");
    const { name } = alice;
    writeFileSync(policy, `[runs_as]\n${name}:\n[images]\n${name}: ${IMAGE}:*\n[limits]\n${name}: memory = 64M\n`);
    chmodSync(policy, 0o644);
    const broker = new BrokerProcess({ directory, policy, engine: host.replace(/^unix:\/\//, "") });
    await broker.start();
    const supervisor = await broker.connect();
    const stage = new BrokerStage({ directory, policy, alice, extra, broker, supervisor }, host);
    const changes = [
      "ENV LD_PRELOAD=/evil.so",
      "ENV GREETING=hello",
      "LABEL com.docker.compose.project=dmhost",
      'CMD ["serve","-x"]',
      "WORKDIR /srv/app",
    ];
    await stage.makeImage("plain", {}, ...changes);
    stage.conf("web", `image = ${IMAGE}:plain`, "processes = 20", "cpu = 0.5");
    return stage;
  }

  async remove(): Promise<void> {
    await this.broker.kill();
    this.closeGuests();
    for (const id of await this.labelled()) await this.docker("rm", "--force", id);
    for (const id of new Set((await this.docker("images", "--quiet", IMAGE)).split("\n")))
      if (id !== "") await this.docker("rmi", "--force", id);
    await this.alice.remove();
    await removeGroup(nameFor("extra"));
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Kills the broker and starts it again, with a new connection. */
  async restart(): Promise<void> {
    await this.broker.kill();
    await this.broker.start();
    this.supervisor = await this.broker.connect();
  }

  docker(...args: string[]): Promise<string> {
    return succeed({ ...process.env, DOCKER_HOST: this.#host }, "docker", ...args);
  }

  /** Makes an image of files and changes; returns its id. */
  async makeImage(tag: string, files: Readonly<Record<string, string>>, ...changes: string[]): Promise<string> {
    const root = join(this.directory, "image");
    rmSync(root, { recursive: true, force: true });
    mkdirSync(join(root, "etc"), { recursive: true });
    for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
    const tar = join(this.directory, "image.tar");
    await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
    return this.docker("import", ...changes.flatMap((change) => ["--change", change]), tar, `${IMAGE}:${tag}`);
  }

  /** Writes a conf file of alice. */
  conf(name: string, ...lines: string[]): void {
    this.alice.write(`.daemon-manager/daemons/${name}.conf`, `${lines.join("\n")}\n`);
  }

  /** Has a container made; `joined` resolves with what its shim has sent. */
  async make(name: string, more: { readonly cgroup?: string; readonly run?: number } = {}) {
    const guest = `g${randomBytes(4).toString("hex")}`;
    const directory = join(this.directory, "guests", guest);
    mkdirSync(directory, { recursive: true });
    chmodSync(directory, 0o755);
    const { promise: joined, resolve } = Promise.withResolvers<Buffer>();
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (bytes: Buffer) => resolve(bytes));
    });
    this.#servers.push(server);
    await new Promise<void>((listening) => server.listen(join(directory, "shim.sock"), listening));
    chmodSync(join(directory, "shim.sock"), 0o666);
    this.#run += 1;
    const fields = { owner: this.alice.name, name, instance: 1, run: this.#run, guest, token: TOKEN, ...more };
    return { joined, made: await this.supervisor.request("make", fields) };
  }

  closeGuests(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }

  /** What the engine says about a container. */
  async inspect(container: string) {
    return JSON.parse(await this.docker("inspect", container))[0];
  }

  get brokerId(): string {
    return JSON.parse(readFileSync(join(this.directory, "state/id.json"), "utf8")).value;
  }

  /** Ids of all containers with the broker's label. */
  async labelled(): Promise<string[]> {
    const filter = `label=io.dmhost.broker=${this.brokerId}`;
    const text = await this.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", filter);
    return text
      .split("\n")
      .filter((id) => id !== "")
      .sort();
  }
}
