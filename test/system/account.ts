/** Real accounts of this machine, made for one test file and removed after it. */
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { kill, processesOf } from "./proc.ts";
import { type Ended, run, type Surroundings, succeed, until } from "./program.ts";

const PREFIX = "dmt-";

/**
 * The process whose tests made what has this name; undefined for what no tests made. The names of cgroups have each hyphen
 * twice.
 */
export const makerOf = (name: string): number | undefined => {
  const pid = new RegExp(`${PREFIX}-?(\\d+)-`).exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
};

/** The name on this machine of a test file's account or group; two runs of the tests do not meet. */
export const nameFor = (short: string): string => `${PREFIX}${process.pid}-${short}`;

const TRIES = 20;
/** Runs one of the programs that lock the account files, which somebody else may have locked. */
const change = async (...argv: string[]): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    const { code, stderr } = await run(argv);
    if (code === 0) return;
    if (!/lock/.test(stderr) || attempt === TRIES) throw new Error(`${argv.join(" ")}: exit code ${code}: ${stderr}`);
  }
};

/** Makes a group. */
export const makeGroup = async (short: string): Promise<number> => {
  await change("groupadd", nameFor(short));
  return Number((await succeed("getent", "group", nameFor(short))).split(":")[2]);
};

/** Removes a group of this name on the machine. */
export const removeGroup = (name: string): Promise<void> => change("groupdel", name);

/** Removes an account of this name on the machine and ends its processes; its home is left. */
export const removeAccount = async (name: string, uid: number): Promise<void> => {
  await until(`the end of the processes of ${name}`, () => {
    const left = processesOf(uid);
    for (const pid of left) kill(pid);
    return left.length === 0;
  });
  await change("userdel", "--force", name);
};

export class Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;

  private constructor(name: string, uid: number, gid: number, home: string) {
    this.name = name;
    this.uid = uid;
    this.gid = gid;
    this.home = home;
  }

  /** Makes an account with a home below `homes`, a member of these groups too. */
  static async make(short: string, homes: string, groups: readonly string[] = []): Promise<Account> {
    return Account.#create(nameFor(short), short, homes, groups);
  }

  /**
   * Makes an account of exactly this name, with a home below `homes`. One that this machine has already is left alone
   * and the test fails; one that another run of the tests has made is waited for.
   */
  static async makeExactly(name: string, homes: string): Promise<Account> {
    await until(
      `the account "${name}" of another run of the tests gone`,
      async () => {
        const { code, stdout } = await run(["getent", "passwd", name]);
        if (code !== 0) return true;
        if (makerOf(stdout.split(":")[4] ?? "") !== undefined) return false;
        throw new Error(
          `cannot make the account "${name}": this machine has one, which the tests must not touch; run them where there is none`,
        );
      },
      180,
    );
    await until(`the group "${name}" gone, which the tests may not use`, async () => {
      return (await run(["getent", "group", name])).code !== 0;
    });
    return Account.#create(name, name, homes, []);
  }

  /**
   * Gives two accounts each other's uid by removing them and making them anew: what runs goes on and what they own stays,
   * with the uid that it has. Gives them as they are then.
   */
  static async exchange(one: Account, other: Account): Promise<[Account, Account]> {
    for (const { name } of [one, other]) await change("userdel", "--force", name);
    const anew = async ({ name, home }: Account, { uid }: Account): Promise<Account> => {
      await change("useradd", "--user-group", "--no-create-home", "--uid", String(uid), "--home-dir", home, name);
      const [, , , gid] = (await succeed("getent", "passwd", name)).split(":").map(Number);
      return new Account(name, uid, gid ?? 0, home);
    };
    return [await anew(one, other), await anew(other, one)];
  }

  static async #create(name: string, short: string, homes: string, groups: readonly string[]): Promise<Account> {
    const home = join(homes, short);
    // The comment tells whose it is where the name does not.
    const fields = ["--comment", nameFor(short), "--home-dir", home, "--shell", "/bin/sh"];
    await change("useradd", "--user-group", "--no-create-home", ...fields, name);
    for (const group of groups) await change("usermod", "--append", "--groups", group, name);
    const [, , uid, gid] = (await succeed("getent", "passwd", name)).split(":").map(Number);
    if (!uid || !gid) throw new Error(`${name} has no ids`);
    mkdirSync(home, { recursive: true });
    chownSync(home, uid, gid);
    chmodSync(home, 0o750);
    return new Account(name, uid, gid, home);
  }

  /** Removes the account and ends its processes; its home is left. */
  remove(): Promise<void> {
    return removeAccount(this.name, this.uid);
  }

  /** Makes a group of the tests its primary one. */
  moveTo(group: string): Promise<void> {
    return change("usermod", "--gid", nameFor(group), this.name);
  }
  /** Makes it a member of a group of the tests, besides its others. */
  join(group: string): Promise<void> {
    return change("usermod", "--append", "--groups", nameFor(group), this.name);
  }
  /** Takes it out of such a group. */
  leave(group: string): Promise<void> {
    return change("gpasswd", "--delete", this.name, nameFor(group));
  }

  /** Writes a file below its home, as its own, and gives its absolute path. */
  write(path: string, text: string, mode = 0o644): string {
    const absolute = join(this.home, path);
    this.makeDirectory(dirname(path));
    writeFileSync(absolute, text);
    chownSync(absolute, this.uid, this.gid);
    chmodSync(absolute, mode);
    return absolute;
  }

  /** Makes a directory below its home, as its own, and gives its absolute path. */
  makeDirectory(path: string): string {
    let absolute = this.home;
    for (const segment of path.split("/").filter((part) => part !== "" && part !== ".")) {
      absolute = join(absolute, segment);
      if (existsSync(absolute)) continue;
      mkdirSync(absolute, { mode: 0o750 });
      chownSync(absolute, this.uid, this.gid);
    }
    return absolute;
  }

  /** Where its daemon's file is, below its home. */
  conf(name: string): string {
    return `.daemon-manager/daemons/${name}.conf`;
  }

  /** Writes the file of a daemon. */
  writeConf(name: string, ...lines: string[]): string {
    return this.write(this.conf(name), `${lines.join("\n")}\n`);
  }

  /** Arguments that make the program after them run as the account, with all of its groups. */
  get become(): string[] {
    return ["setpriv", `--reuid=${this.uid}`, `--regid=${this.gid}`, "--init-groups", "--"];
  }
  /** The environment of its shell. */
  get environment(): Record<string, string> {
    return { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: this.home, USER: this.name, LOGNAME: this.name };
  }

  /** Runs a program as the account to its end. */
  run(argv: readonly string[], { env = {}, ...rest }: Surroundings = {}): Promise<Ended> {
    return run([...this.become, ...argv], { env: { ...this.environment, ...env }, ...rest });
  }
}
