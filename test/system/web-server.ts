/** An nginx of its own for one test file: its directory as host/web-server.sh makes it, started by nginx/web-server. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, fchownSync, openSync, readFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import type { Account } from "./account.ts";
import { freePort } from "./nginx.ts";
import { CHECKOUT, run, until } from "./program.ts";

/** What a visitor gets. */
export interface Visit {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Makes the directory with the functions that ./dmhost makes it with. */
const MAKE = `set -eu
checkout=$1 web=$2 web_user=$3 http_listen=$4
fail() { echo "$@" >&2; exit 1; }
. "$checkout/host/web-server.sh"
make_web_directory "$5" "$6"
`;

export class WebServer {
  /** nginx -p, and the supervisor's --sites-dir. */
  readonly directory: string;
  readonly logs: string;
  readonly port: number;
  readonly #account: Account;
  #child: ChildProcess | undefined;

  private constructor(stage: string, port: number, account: Account) {
    this.directory = join(stage, "nginx");
    this.logs = join(stage, "site-logs");
    this.port = port;
    this.#account = account;
  }

  /** Makes its directory below `stage`; it does not run yet. */
  static async make(stage: string, account: Account): Promise<WebServer> {
    const web = new WebServer(stage, await freePort(), account);
    const words = [CHECKOUT, web.directory, account.name, `127.0.0.1:${web.port}`, `${stage}/no.sock`, stage];
    const { code, stderr } = await run(["sh", "-c", MAKE, "make", ...words]);
    if (code !== 0) throw new Error(stderr);
    return web;
  }

  /** Flags of a supervisor that publishes here. */
  get flags(): string[] {
    return ["--sites-dir", this.directory, "--site-logs-dir", this.logs, "--http-port", String(this.port)];
  }

  /** Runs it as its account until it listens. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const [file = "", ...args] = [...this.#account.become, join(this.directory, "web-server"), "start", this.directory];
    // nginx opens it again by the name /dev/stdout.
    const log = openSync(join(this.directory, "../nginx.log"), "a");
    fchownSync(log, this.#account.uid, this.#account.gid);
    const child = spawn(file, args, {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", DMHOST_SITE_LOGS: this.logs, DMHOST_SITE_PAUSE: "0.1", ...env },
      // A group of its own, which `stop` can end as a whole.
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    await until("an nginx that listens", async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}:\n${this.text()}`);
      return this.visit("nobody.example").catch(() => undefined);
    });
  }

  /** Ends it with all its processes. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
    await ended;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** All that it has said. */
  text(): string {
    const path = join(this.directory, "../nginx.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** What it has said of the sites. */
  said(): string[] {
    return this.text()
      .split("\n")
      .filter((line) => line.startsWith("sites: "));
  }

  /** The vhosts that the supervisor has laid out last. */
  offered(): string {
    return readFileSync(join(this.directory, "offered/sites.conf"), "utf8");
  }

  /** Whether it has said what it makes of them. */
  hasAnswered(): boolean {
    const path = join(this.directory, "accepted/answer");
    const generation = this.offered().split(/\s/)[2] ?? "";
    return existsSync(path) && readFileSync(path, "utf8").startsWith(`${generation} `);
  }

  /** The vhosts that it works with. */
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
      const asked = { host: "127.0.0.1", port: this.port, path, method, headers: { host, ...more }, agent: false };
      const sent = request(asked, (answer) => {
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
