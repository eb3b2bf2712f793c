/** An appliance in Docker for one test file: a separate Compose project. */
import { execFile } from "node:child_process";
import { chmod, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The checkout that is tested. */
export const CHECKOUT = join(import.meta.dirname, "../..");
/** Name of the Compose project. Always the same, so that the next run removes what an interrupted one left. */
export const PROJECT = "dmhost-test";

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code. */
export const command = async (environment: NodeJS.ProcessEnv, file: string, ...args: string[]): Promise<Ended> => {
  try {
    const { stdout, stderr } = await run(file, args, { env: environment, cwd: CHECKOUT, maxBuffer: 64 << 20 });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== "number") throw error;
    return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
  }
};

/** Runs a program that must succeed; returns its output, trimmed. */
export const succeed = async (environment: NodeJS.ProcessEnv, file: string, ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await command(environment, file, ...args);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout.trim();
};

/** Factor by which tests wait longer on a slow machine. */
const PATIENCE = Number(process.env["DMHOST_TEST_PATIENCE"] ?? 1);

/** Calls `ask` until it returns a value, for at most `seconds` times PATIENCE. */
export const eventually = async <T>(what: string, ask: () => Promise<T | undefined>, seconds = 30): Promise<T> => {
  for (const end = Date.now() + seconds * 1000 * PATIENCE; ; ) {
    const value = await ask();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free TCP port");
  return address.port;
};

/** A request, besides its path. */
interface RequestOptions {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
}

/** The answer to a request. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Health {
  readonly Status: string;
  readonly Log: readonly { readonly ExitCode: number; readonly Start: string; readonly End: string }[];
}

/** The parts of the output of `docker inspect` that tests read. */
interface Inspected {
  readonly Id: string;
  readonly State: { Pid: number; ExitCode: number; StartedAt: string; FinishedAt: string; Health?: Health };
  readonly Config: { User: string; Healthcheck?: { Interval: number } };
  readonly HostConfig: {
    CapAdd: string[] | null;
    CapDrop: string[] | null;
    Privileged: boolean;
    ReadonlyRootfs: boolean;
    SecurityOpt: string[] | null;
    PidMode: string;
    IpcMode: string;
    NetworkMode: string;
    Devices: unknown[] | null;
  };
  readonly Mounts: { Destination: string; Source: string; RW: boolean }[];
}

export class Appliance {
  /** Its configuration (`config`), run directory (`run`) and installed programs (`bin`). */
  readonly directory: string;
  readonly port: number;
  readonly environment: NodeJS.ProcessEnv;

  private constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
    this.environment = {
      ...process.env,
      COMPOSE_PROJECT_NAME: PROJECT,
      // Without a compose.override.yaml of the checkout.
      COMPOSE_FILE: "compose.yaml",
      DMHOST_HTTP_PORT: String(port),
      DMHOST_RUN_DIR: join(directory, "run"),
      DMHOST_SITE_LOGS: join(directory, "site-logs"),
      DMHOST_CONFIG_DIR: join(directory, "config"),
      DMHOST_BIN_DIR: join(directory, "bin"),
      TESTCONTAINERS_RYUK_DISABLED: "true",
    };
  }

  /** Whether mounts below /home reach the containers; an engine refuses `rslave` where not. */
  static async isHomeShared(): Promise<boolean> {
    const found = await succeed(process.env, "findmnt", "--noheadings", "--output", "PROPAGATION", "--target", "/home");
    return /shared|slave/.test(found);
  }

  /** Prepares an appliance that does not run yet, and removes what an earlier one left. */
  static async prepare(): Promise<Appliance> {
    const directory = await mkdtemp(join(tmpdir(), "dmhost-test-"));
    // A tenant's dmctl must reach the sockets below it.
    await chmod(directory, 0o755);
    await cp(join(CHECKOUT, "config"), join(directory, "config"), { recursive: true });
    const appliance = new Appliance(directory, await freePort());
    if (!(await Appliance.isHomeShared())) appliance.environment["DMHOST_HOME_PROPAGATION"] = "rprivate";
    try {
      await appliance.compose("down", "--volumes", "--remove-orphans");
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
    return appliance;
  }

  /** `./dmhost COMMAND --docker`; throws if it fails. */
  dmhost(name: "up" | "down" | "ps"): Promise<string> {
    return succeed(this.environment, join(CHECKOUT, "dmhost"), name, "--docker");
  }

  /** `docker compose ...` on the project; throws if it fails. */
  compose(...args: string[]): Promise<string> {
    return succeed(this.environment, "docker", "compose", ...args);
  }

  /** Runs a program in a service's container, as its first process' account, whatever its exit code. */
  exec(service: string, ...args: string[]): Promise<Ended> {
    return command(this.environment, "docker", "compose", "exec", "-T", service, ...args);
  }

  /** Process id of the demo site. */
  sitePid(): Promise<string> {
    return this.shell("supervisor", "dmctl dmhost-demo/site pid");
  }

  /** Runs `sh -c` as `exec` does; throws if it fails. */
  async shell(service: string, script: string): Promise<string> {
    const { code, stdout, stderr } = await this.exec(service, "sh", "-c", script);
    if (code !== 0) throw new Error(`${script}: exit code ${code} in ${service}\n${stdout}\n${stderr}`);
    return stdout.trim();
  }

  async inspect(service: string): Promise<Inspected> {
    const id = await this.compose("ps", "--all", "--quiet", service);
    const [inspected] = JSON.parse(await succeed(this.environment, "docker", "inspect", id)) as Inspected[];
    if (!inspected) throw new Error(`${service} has no container`);
    return inspected;
  }

  /** Replaces the policy. */
  async writePolicy(text: string): Promise<void> {
    await writeFile(join(this.directory, "config/daemon-manager.conf"), text, { mode: 0o644 });
  }

  /** Sends a request to the published port. */
  request(path: string, options: RequestOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { method = "GET", headers = {}, body } = options;
      const sent = request({ host: "127.0.0.1", port: this.port, path, method, headers, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => {
          text += chunk;
        });
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  /** Removes the appliance with all its files. */
  async remove(): Promise<void> {
    try {
      await this.dmhost("down");
      await this.compose("down", "--volumes", "--remove-orphans", "--rmi", "local");
    } finally {
      await rm(this.directory, { recursive: true, force: true });
    }
  }
}
