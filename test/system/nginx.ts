/** A separate Nginx for one test file: the appliance's configuration, with the vhosts that the file gives it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { CHECKOUT, until } from "./program.ts";

/** A site behind it: what there is to know for its vhost. */
export interface Site {
  /** Of the upstream, and of its file. */
  readonly name: string;
  /** Domain; the first site of all also answers for hosts that nobody has. */
  readonly host: string;
  /** Path of the published socket. */
  readonly socket: string;
  /** php: static files, and index.php for whatever is none of them; fastcgi: everything to the application. */
  readonly app: "php" | "fastcgi";
  /** Static files and scripts are below it. */
  readonly docroot?: string;
}

const PHP = `index index.php;
  location / { try_files $uri $uri/ /index.php$is_args$args; }
  location ~ (/\\.(?!well-known/)|~$|\\.(bak|swp|orig|old)$) { return 404; }
  location ~* \\.php$ { try_files $fastcgi_script_name =404; fastcgi_pass NAME; }`;

const FASTCGI = `location / {
    include fastcgi_params;
    fastcgi_param SCRIPT_NAME "";
    fastcgi_param PATH_INFO $uri;
    fastcgi_pass NAME;
  }`;

/** The vhost of a site, as config/nginx/vhost.conf.example advises. */
export const vhostText = ({ name, host, socket, app, docroot }: Site): string => `upstream ${name} {
  server unix:${socket} max_fails=0;
  server unix:${socket} max_fails=0;
}

server {
  include listen.conf;
  server_name ${host};
  ${docroot === undefined ? "" : `root ${docroot};`}
  ${(app === "php" ? PHP : FASTCGI).replaceAll("NAME", name)}
}
`;

/** A port of the loopback that nobody listened on a moment ago. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the loopback gave no port");
  return address.port;
};

const PARTS = ["nginx.conf", "fastcgi_params", "mime.types"];

export class Nginx {
  readonly port: number;
  readonly directory: string;
  #child: ChildProcess | undefined;

  private constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
  }

  /**
   * Makes its directory, with a vhost file for each text, by name; `sites` are those of Site. Its workers run as `account`,
   * which is in the group that may connect to published sockets.
   */
  static async start(
    directory: string,
    account: string,
    vhosts: Readonly<Record<string, string>>,
    port?: number,
  ): Promise<Nginx> {
    const server = new Nginx(directory, port ?? (await freePort()));
    for (const part of ["", "sites", "vhosts", "temp"]) mkdirSync(join(directory, part), { mode: 0o755 });
    for (const part of PARTS) cpSync(join(CHECKOUT, "nginx", part), join(directory, part));
    writeFileSync(join(directory, "listen.conf"), `listen 127.0.0.1:${server.port};\n`);
    for (const [name, text] of Object.entries(vhosts)) writeFileSync(join(directory, "vhosts", `${name}.conf`), text);
    await server.#spawn(account);
    return server;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What it has written: accesses, and errors. */
  log(): string {
    return readFileSync(join(this.directory, "nginx.log"), "utf8");
  }

  async #spawn(account: string): Promise<void> {
    const argv = ["-e", "stderr", "-p", this.directory, "-c", "nginx.conf"];
    const log = openSync(join(this.directory, "nginx.log"), "a");
    const child = spawn("/usr/sbin/nginx", [...argv, "-g", `daemon off; user ${account};`], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      cwd: "/",
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    await until("an nginx that answers", async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with code ${child.exitCode}: ${this.log()}`);
      return fetch(`http://127.0.0.1:${this.port}/`, { redirect: "manual", signal: AbortSignal.timeout(1000) }).then(
        () => true,
        (error: Error) => error.name === "TimeoutError",
      );
    });
  }

  /** Ends it with its workers, at once. */
  async end(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }
}
