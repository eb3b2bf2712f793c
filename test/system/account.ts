/** Real accounts of this machine that one test file makes and removes. */
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { hasProcesses, kill, processesOf } from "./proc.ts";
import { type Ended, type RunOptions, run, succeed, until } from "./program.ts";

const PREFIX = "dmt-";

/**
 * Pid of the test process that made the account, group, cgroup or directory of this name; undefined if no test made it. The
 * names of cgroups have each hyphen twice.
 */
export const makerOf = (name: string): number | undefined => {
  const pid = new RegExp(`${PREFIX}-?(\\d+)-`).exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
};

/** Name on this machine of a test file's account or group; it contains the pid, so that test runs do not collide. */
export const nameFor = (short: string): string => `${PREFIX}${process.pid}-${short}`;

const TRIES = 20;
/** Runs a program that changes the account files; tries again while another program has them locked. */
const change = async (...argv: string[]): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    const { code, stderr } = await run(argv);
    if (code === 0) return;
    if (!/lock/.test(stderr) || attempt === TRIES) throw new Error(`${argv.join(" ")}: exit code ${code}: ${stderr}`);
  }
};

/** Makes a group; returns its gid. */
export const makeGroup = async (short: string): Promise<number> => {
  await change("groupadd", nameFor(short));
  return Number((await succeed("getent", "group", nameFor(short))).split(":")[2]);
};

/** Removes the group of this name on the machine. */
export const removeGroup = (name: string): Promise<void> => change("groupdel", name);

/** Removes the account of this name on the machine and kills its processes; its home stays. */
export const removeAccount = async (name: string, uid: number): Promise<void> => {
  // Zombies, too, count for RLIMIT_NPROC of the next account of this uid, and process 1 may reap them after a second or two.
  await until(`exit of the processes of ${name}, and their reaping`, () => {
    for (const pid of processesOf(uid)) kill(pid);
    return !hasProcesses(uid);
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

  /** Makes an account with a home below `homes` that is also a member of these groups. */
  static async make(short: string, homes: string, groups: readonly string[] = []): Promise<Account> {
    return Account.#create(nameFor(short), short, homes, groups);
  }

  /**
   * Makes an account of exactly this name, with a home below `homes`. Throws if this machine has an account of that name;
   * waits while another test run has one.
   */
  static async makeExactly(name: string, homes: string): Promise<Account> {
    await until(
      `the account "${name}" of another test run to be removed`,
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
    await until(`the group "${name}" of another test run to be removed`, async () => {
      return (await run(["getent", "group", name])).code !== 0;
    });
    return Account.#create(name, name, homes, []);
  }

  /**
   * Exchanges the uids of two accounts by removing and making them again. Processes and files keep their uids. Returns the
   * new accounts.
   */
  static async exchange(one: Account, other: Account): Promise<[Account, Account]> {
    for (const { name } of [one, other]) await change("userdel", "--force", name);
    const recreate = async ({ name, home }: Account, { uid }: Account): Promise<Account> => {
      await change("useradd", "--user-group", "--no-create-home", "--uid", String(uid), "--home-dir", home, name);
      const [, , , gid] = (await succeed("getent", "passwd", name)).split(":").map(Number);
      return new Account(name, uid, gid ?? 0, home);
    };
    return [await recreate(one, other), await recreate(other, one)];
  }

  static async #create(name: string, short: string, homes: string, groups: readonly string[]): Promise<Account> {
    const home = join(homes, short);
    // The comment names the test process where the account's name does not.
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

  /** Removes the account and kills its processes; its home stays. */
  remove(): Promise<void> {
    return removeAccount(this.name, this.uid);
  }

  /** Makes a group of the tests the account's primary group. */
  moveTo(group: string): Promise<void> {
    return change("usermod", "--gid", nameFor(group), this.name);
  }
  /** Adds the account to a group of the tests. */
  join(group: string): Promise<void> {
    return change("usermod", "--append", "--groups", nameFor(group), this.name);
  }
  /** Removes the account from a group of the tests. */
  leave(group: string): Promise<void> {
    return change("gpasswd", "--delete", this.name, nameFor(group));
  }

  /** Writes a file below the home that the account owns; returns its absolute path. */
  write(path: string, text: string, mode = 0o644): string {
    const absolute = join(this.home, path);
    this.makeDirectory(dirname(path));
    writeFileSync(absolute, text);
    chownSync(absolute, this.uid, this.gid);
    chmodSync(absolute, mode);
    return absolute;
  }

  /** Makes a directory below the home that the account owns; returns its absolute path. */
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

  /** Path of a daemon's conf file, relative to the home. */
  conf(name: string): string {
    return `.daemon-manager/daemons/${name}.conf`;
  }

  /** Writes a daemon's conf file; returns its absolute path. */
  writeConf(name: string, ...lines: string[]): string {
    return this.write(this.conf(name), `${lines.join("\n")}\n`);
  }

  /** Arguments that exec the program after them as the account, with all of its groups. */
  get become(): string[] {
    return ["setpriv", `--reuid=${this.uid}`, `--regid=${this.gid}`, "--init-groups", "--"];
  }
  /** Environment of the account's shell. */
  get environment(): Record<string, string> {
    return { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: this.home, USER: this.name, LOGNAME: this.name };
  }

  /** Runs a program to its end as the account. */
  run(argv: readonly string[], { env = {}, ...rest }: RunOptions = {}): Promise<Ended> {
    return run([...this.become, ...argv], { env: { ...this.environment, ...env }, ...rest });
  }
}
