/** A separate Nginx for one test file, with the directory and the services that host/web-server.sh makes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Account } from "./account.ts";
import { freePort } from "./nginx.ts";
import { argumentsOf, childrenOf } from "./proc.ts";
import { CHECKOUT, succeed, until } from "./program.ts";

/** What a visitor gets. */
export interface Visit {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Makes directory and services with the functions that ./dmhost makes them with. */
const MAKE = `set -eu
checkout=$1 own=$2 web_user=$3 http_listen=$4
for part in progress service-tree web-server; do . "$checkout/host/$part.sh"; done
web=$own/nginx tree=$own/web-services tree_scripts=$own/web-scripts tree_logs=$own/web-logs site_logs=$own/site-logs
mkdir -p "$tree_logs"
web_become="chown $web_user /dev/stdout
exec $5 "
write_web_services
make_web_directory "$own/no.sock" "$own"
`;

/** The services beside each other under one s6-svscan. */
export type Service = "nginx" | "site-installer" | "site-logs";

export class WebServer {
  /** nginx -p, and the supervisor's --sites-dir. */
  readonly directory: string;
  readonly logs: string;
  readonly port: number;
  readonly #tree: string;
  #child: ChildProcess | undefined;

  private constructor(stage: string, port: number) {
    this.directory = join(stage, "nginx");
    this.logs = join(stage, "site-logs");
    this.port = port;
    this.#tree = join(stage, "web-services");
  }

  /** Makes its directory below `stage`; it does not run yet. */
  static async make(stage: string, account: Pick<Account, "name" | "become">): Promise<WebServer> {
    const web = new WebServer(stage, await freePort());
    const words = [CHECKOUT, stage, account.name, `127.0.0.1:${web.port}`, account.become.join(" ")];
    await succeed("sh", "-c", MAKE, "make", ...words);
    return web;
  }

  /** Flags of a supervisor that publishes here. Most tests have more reloads than a usual day. */
  get flags(): string[] {
    const sites = ["--sites-dir", this.directory, "--site-logs-dir", this.logs, "--http-port", String(this.port)];
    return [...sites, "--reload-interval", "1s"];
  }

  /** Runs its services as its account until nginx listens; fails after so many seconds. */
  async start(env: Readonly<Record<string, string>> = {}, seconds?: number): Promise<void> {
    const child = spawn("s6-svscan", [this.#tree], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.#child = child;
    const listens = async (): Promise<Visit | undefined> => {
      if (child.exitCode !== null) throw new Error(`the services ended with ${child.exitCode}:\n${this.text()}`);
      return this.visit("nobody.example").catch(() => undefined);
    };
    await until("an nginx that listens", listens, seconds);
  }

  /** Ends it with all its processes. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    await succeed("s6-svscanctl", "-t", this.#tree);
    if (await Promise.race([ended.then(() => false), pause(20_000, true, { ref: false })])) {
      child.kill("SIGKILL");
      throw new Error(`the services of the web server do not end:\n${this.text()}`);
    }
  }

  /** Pid of a service; 0 where it does not run. */
  async pidOf(service: Service): Promise<number> {
    const pid = Number(await succeed("s6-svstat", "-o", "pid", join(this.#tree, service)));
    return Math.max(0, pid);
  }

  /** Pid of the s6-supervise of a service, once it runs: s6-svscan starts another for one that was killed. */
  supervisorOf(service: Service): Promise<number> {
    return until(`an s6-supervise of ${service}`, () =>
      childrenOf(this.#child?.pid ?? 0).find((each) => argumentsOf(each).join(" ") === `s6-supervise ${service}`),
    );
  }

  /** Of nginx's master. */
  get pid(): number {
    return Number(readFileSync(join(this.directory, "temp/nginx.pid"), "utf8"));
  }

  /** All that its services have said. */
  text(): string {
    const services: readonly Service[] = ["nginx", "site-installer", "site-logs"];
    return services
      .map((service) => join(this.#tree, "../web-logs", service, "current"))
      .map((path) => (existsSync(path) ? readFileSync(path, "utf8") : ""))
      .join("");
  }

  /** Times that sites were brought into force. Waits for the log, which is written after the sites are in force. */
  async reloads(): Promise<number> {
    const [, generation = ""] = /^\S+ \S+ (\S+)/.exec(this.inForce()) ?? [];
    const generations = () => [...this.text().matchAll(/sites: serving generation (\S+)/g)].map(([, id = ""]) => id);
    // An earlier generation may have had the same vhosts, and thus the same name.
    await until(`generation ${generation} last in the log`, () => (generations().at(-1) ?? "") === generation);
    return generations().length;
  }

  /** The vhosts that all of its workers have. */
  inForce(): string {
    const path = join(this.directory, "accepted/served");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Asks a host for a path, byte by byte as it is written. @param more headers beside Host */
  visit(
    host: string,
    path = "/",
    method = "GET",
    body?: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Visit> {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.port, path, method, headers: { host, ...more }, agent: false };
      const sent = request(options, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }
}
