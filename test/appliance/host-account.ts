/** Accounts that the tests add to this machine and remove. */
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

  /** Adds an account with these supplementary groups and a home of mode 0711. Replaces an account of that name. */
  static async make(name: string, groups: readonly string[] = []): Promise<HostAccount> {
    await HostAccount.remove(name);
    await succeed(process.env, "useradd", "--create-home", "--shell", "/bin/sh", "--groups", groups.join(","), name);
    const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => succeed(process.env, "id", flag, name)));
    await succeed(process.env, "chmod", "711", join("/home", name));
    return new HostAccount(name, Number(uid), Number(gid));
  }

  /** Removes the account of that name and its home, if there is one. */
  static async remove(name: string): Promise<void> {
    await command(process.env, "userdel", "--force", "--remove", name);
    await rm(join("/home", name), { recursive: true, force: true });
  }

  /** Writes a file below its home; the account owns it. */
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
