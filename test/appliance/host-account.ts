/** Accounts of this machine for the tests: made, used and removed by them. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { command, type Ended, succeed } from "./appliance.ts";

export class HostAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;

  private constructor(name: string, uid: number, gid: number) {
    this.name = name;
    this.uid = uid;
    this.gid = gid;
    this.home = join("/home", name);
  }

  /** Makes an account that is in `groups` too, and whose home others may pass through. One of that name is replaced. */
  static async make(name: string, groups: readonly string[] = []): Promise<HostAccount> {
    await HostAccount.remove(name);
    await succeed(process.env, "useradd", "--create-home", "--shell", "/bin/sh", "--groups", groups.join(","), name);
    const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => succeed(process.env, "id", flag, name)));
    await succeed(process.env, "chmod", "711", join("/home", name));
    return new HostAccount(name, Number(uid), Number(gid));
  }

  /** Removes the account of that name, its processes and its home, where there is one. */
  static async remove(name: string): Promise<void> {
    await command(process.env, "userdel", "--force", "--remove", name);
    await rm(join("/home", name), { recursive: true, force: true });
  }

  /** Writes a file below its home, as its own. */
  async write(path: string, text: string): Promise<void> {
    const absolute = join(this.home, path);
    await mkdir(dirname(absolute), { recursive: true });
    await writeFile(absolute, text);
    await succeed(process.env, "chown", "--recursive", `${this.name}:`, this.home);
  }

  /** Runs a program of this machine as the account. */
  run(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
    const become = ["--reuid", this.name, "--regid", String(this.gid), "--init-groups"];
    return command({ ...environment, HOME: this.home, USER: this.name }, "setpriv", ...become, ...args);
  }
}
