/** Thousands of accounts and their sites, in a mount namespace that has its own account databases. */
import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nameFor } from "../system/account.ts";
import { limitsOf } from "../system/proc.ts";
import { STAGES } from "../system/stage.ts";

/** Ids that no distribution gives to accounts. */
const FIRST_ID = 1_900_000_000;
const SITES_EACH = 4;
const WEB = "scaleweb";

/** Descriptors that Nginx needs for the two logs of a host during a reload, and for everything else. */
const DESCRIPTORS = { host: 4, rest: 1000 };

interface Tenant {
  readonly name: string;
  readonly id: number;
  readonly home: string;
}

export class ScaleStage {
  readonly directory = mkdtempSync(join(STAGES, nameFor("")));
  /** Sites that have a host: as many as the descriptors that this machine permits. */
  readonly hosts: number;
  readonly #tenants: readonly Tenant[];
  readonly #mounts: string[] = [];

  /** This process must have a separate mount namespace, which ends with it. @param sites a multiple of 4 */
  constructor(sites: number) {
    chmodSync(this.directory, 0o755);
    const descriptors = Number(limitsOf(process.pid)["Max open files"]?.split(" ")[1]);
    this.hosts = Math.min(sites, Math.floor((descriptors - DESCRIPTORS.rest) / DESCRIPTORS.host));
    this.#tenants = Array.from({ length: sites / SITES_EACH }, (_, index) => {
      const name = `t${index}`;
      return { name, id: FIRST_ID + 1 + index, home: join(this.directory, "home", name) };
    });
    this.#coverAccounts();
    for (const tenant of this.#tenants) this.#furnish(tenant);
    for (let index = 0; index < sites; index += 1) this.writeSite(index);
  }

  /** The account of the web server. */
  get web(): { readonly name: string; readonly become: string[] } {
    const ids = [`--reuid=${FIRST_ID}`, `--regid=${FIRST_ID}`, "--clear-groups"];
    return { name: WEB, become: ["setpriv", ...ids, "--"] };
  }

  /** Lines of a policy that grants every tenant their hosts. */
  get policy(): string[] {
    const names = this.#tenants.map(({ name }) => name);
    const grants = names.map((name) => `${name}: *.${name}.example.org`);
    const roots = ["daemon-path-daemon-root", "service-path-root", "daemon-path-log-root"];
    const settings = roots.map((key) => `${key} = ${join(this.directory, key)}`);
    return ["[settings]", `nginx-group = ${WEB}`, ...settings, "[runs_as]", ...names, "[hosts]", ...grants];
  }

  /** Writes the conf file of a site, under one more host where that is given. */
  writeSite(index: number, more?: string): void {
    const tenant = this.#tenants[Math.floor(index / SITES_EACH)];
    if (tenant) this.#write(tenant, index, more);
  }

  #coverAccounts(): void {
    const all = [{ name: WEB, id: FIRST_ID, home: "/nonexistent" }, ...this.#tenants];
    const lines = {
      passwd: all.map(({ name, id, home }) => `${name}:x:${id}:${id}::${home}:/bin/sh`),
      group: all.map(({ name, id }) => `${name}:x:${id}:`),
    };
    // The whole directory: the kernel detaches a mount on a file that another program replaces.
    const copy = join(this.directory, "etc");
    execFileSync("cp", ["-a", "/etc", copy]);
    for (const [file, more] of Object.entries(lines)) appendFileSync(join(copy, file), `${more.join("\n")}\n`);
    execFileSync("mount", ["--bind", copy, "/etc"]);
  }

  #furnish(tenant: Tenant): void {
    const { home, id } = tenant;
    for (const part of ["", "www", ".daemon-manager", ".daemon-manager/daemons"]) {
      mkdirSync(join(home, part), { recursive: true });
      chownSync(join(home, part), id, id);
    }
  }

  #write({ name, id, home }: Tenant, index: number, more?: string): void {
    const site = `site${index % SITES_EACH}`;
    const hosts = [site, ...(more === undefined ? [] : [more])].map((host) => `${host}.${name}.example.org`);
    const lines = ["start = exec php-cgi", "listen = fastcgi", "ondemand = yes"];
    if (index < this.hosts) lines.push("docroot = ~/www", `host = ${hosts.join(", ")}`);
    const path = join(home, `.daemon-manager/daemons/${site}.conf`);
    writeFileSync(path, `${lines.join("\n")}\n`);
    chownSync(path, id, id);
  }

  /** Makes a directory in memory, as /run is. */
  mountMemory(path: string): void {
    mkdirSync(path, { mode: 0o755 });
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", path]);
    this.#mounts.push(path);
  }

  remove(): void {
    for (const path of ["/etc", ...this.#mounts]) execFileSync("umount", ["--lazy", path]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
