/** A MariaDB server for one test file: separate files, no network, one database and its user. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "../account.ts";
import { kill } from "../proc.ts";
import { until } from "../program.ts";

export const CREDENTIALS = { database: "wordpress", user: "wordpress", password: "only for this test" };

const SETUP = [
  `CREATE DATABASE ${CREDENTIALS.database};`,
  `CREATE USER '${CREDENTIALS.user}'@'localhost' IDENTIFIED BY '${CREDENTIALS.password}';`,
  `GRANT ALL ON ${CREDENTIALS.database}.* TO '${CREDENTIALS.user}'@'localhost';`,
];

export class Database {
  /** Every account that can reach the socket may connect. */
  readonly socket: string;
  readonly #server: ChildProcess;

  private constructor(socket: string, server: ChildProcess) {
    this.socket = socket;
    this.#server = server;
  }

  /** Starts a server as `account` in its home and waits until it accepts connections. */
  static async start(account: Account): Promise<Database> {
    const [files, socket, log] = ["files", "server.sock", "server.log"].map((name) => join(account.home, name)) as [
      string,
      string,
      string,
    ];
    const own = ["--no-defaults", `--datadir=${files}`, "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"];
    const made = await account.run(["mariadb-install-db", ...own, "--skip-test-db", "--skip-name-resolve"]);
    if (made.code !== 0) throw new Error(`mariadb-install-db: exit code ${made.code}\n${made.stdout}\n${made.stderr}`);
    const setup = account.write("setup.sql", `${SETUP.join("\n")}\n`);
    const flags = [`--socket=${socket}`, "--skip-networking", `--init-file=${setup}`];
    const output = openSync(log, "a");
    const [file = "", ...args] = [...account.become, "/usr/sbin/mariadbd", ...own, ...flags];
    const server = spawn(file, args, { cwd: "/", env: account.environment, stdio: ["ignore", output, output] });
    closeSync(output);
    try {
      await until("the database to be ready for connections", () => {
        const text = readFileSync(log, "utf8");
        if (server.exitCode !== null) throw new Error(`mariadbd ended with code ${server.exitCode}:\n${text}`);
        return text.includes("ready for connections");
      });
    } catch (error) {
      kill(server.pid ?? 0);
      throw error;
    }
    return new Database(socket, server);
  }

  /** Kills the server; its data are not needed any more. */
  async end(): Promise<void> {
    if (this.#server.exitCode !== null || this.#server.signalCode !== null) return;
    const ended = once(this.#server, "exit");
    this.#server.kill("SIGKILL");
    await ended;
  }
}
