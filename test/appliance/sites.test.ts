/** Sites of a host account in the containers: published by policy, restarted, put to sleep, jailed (issue 5 on the appliance). */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type Answer, Appliance, eventually, succeed } from "./appliance.ts";
import { HostAccount } from "./host-account.ts";
import { HTTP_SERVER, PAGE } from "./programs.ts";

const NAME = "dmap-sites";
const HOSTS = ["shop", "files", "line", "nap", "own", "late"] as const;

let appliance: Appliance;
let alice: HostAccount;

/** php-cgi ends by itself after 500 requests otherwise. */
const ENDLESS = "export PHP_FCGI_MAX_REQUESTS = 0";

const DAEMONS: Readonly<Record<string, readonly string[]>> = {
  shop: [
    "start = exec php-cgi",
    "listen = fastcgi",
    "host = shop.test, other.test",
    "docroot = ~/www",
    "ready-after = 0.2",
    ENDLESS,
  ],
  files: ["start = exec sleep 10000", "host = files.test", "docroot = ~/www"],
  line: [`start = exec perl ~/serve.pl 3 notify old`, "listen = http", "ready = notify", "host = line.test"],
  nap: [
    "start = exec php-cgi",
    "listen = fastcgi",
    "host = nap.test",
    "docroot = ~/www",
    "ondemand = yes",
    "idle-timeout = 1s",
  ],
  own: ['start = exec php-cgi -b "$DM_SOCKET"', "listen = path", "host = own.test", "docroot = ~/www", ENDLESS],
  talk: [
    'start = for i in $(seq 400); do echo "line $i, of some length"; done; exec sleep 10000',
    "output = log",
    "log-size = 4K",
    "log-compress = yes",
  ],
  jail: [
    "start = exec sleep 10000",
    "chroot = ~/jail",
    "nice = 5",
    "limit-nofile = 123",
    "env-dir = ~/env",
    "lock = ~/lock",
  ],
};

beforeAll(async () => {
  alice = await HostAccount.make(NAME);
  await alice.write("www/index.php", PAGE);
  await alice.write("www/note.txt", "static\n");
  await alice.write("serve.pl", HTTP_SERVER);
  await alice.write("env/WHERE", "container\n");
  await alice.write("service/tool/run", `#!/bin/sh\nexec envdir ${alice.home}/env softlimit -o 50 sleep 10000\n`);
  await succeed(process.env, "chmod", "755", `${alice.home}/service/tool/run`);
  await succeed(process.env, "install", "-d", "-o", NAME, "-g", NAME, `${alice.home}/jail/bin`);
  await succeed(process.env, "install", "-o", NAME, "-g", NAME, "/bin/busybox", `${alice.home}/jail/bin/busybox`);
  for (const applet of ["sh", "sleep"])
    await succeed(process.env, "ln", "-s", "busybox", `${alice.home}/jail/bin/${applet}`);
  for (const [name, lines] of Object.entries(DAEMONS)) {
    await alice.write(
      `.daemon-manager/daemons/${name}.conf`,
      `${lines.join("\n").replaceAll("perl ~/", `perl ${alice.home}/`)}\n`,
    );
  }
  appliance = await Appliance.prepare();
  const granted = HOSTS.map((host) => `${host}.test`).join(", ");
  await appliance.writePolicy(`[runs_as]\ndmhost-demo:\n${NAME}:\n[hosts]\n${NAME}: ${granted}\n`);
  await appliance.dmhost("up");
  await eventually("the vhosts", async () => ((await ask("files")).status === 404 ? true : undefined));
});
afterAll(async () => {
  await appliance?.remove();
  await HostAccount.remove(NAME);
});

/** Sends a request to one of the hosts. */
const ask = (host: string, path = "/"): Promise<Answer> =>
  appliance.request(path, { headers: { host: `${host}.test` } });

/** dmctl of this machine as the tenant, which has to succeed. */
const dmctl = async (...args: string[]): Promise<string> => {
  const socket = join(appliance.directory, `run/users/${NAME}/command.sock`);
  const environment = { ...appliance.environment, DMCTL_SOCKET: socket };
  const { code, stdout, stderr } = await alice.run(environment, join(appliance.directory, "bin/dmctl"), ...args);
  if (code !== 0) throw new Error(`dmctl ${args.join(" ")}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout.trim();
};

const reaches = (name: string, state: string): Promise<true> =>
  eventually(`${name} ${state}`, async () =>
    new RegExp(`^${NAME}/${name} +${state} `, "m").test(await dmctl("status")) ? true : undefined,
  );

/** Sends requests to a host, one after the other, until `work` ends; returns the answers. */
const during = async (host: string, work: () => Promise<unknown>): Promise<Answer[]> => {
  const answers: Answer[] = [];
  let going = true;
  const asking = (async () => {
    while (going) answers.push(await ask(host));
  })();
  try {
    await work();
  } finally {
    going = false;
  }
  await asking;
  return answers;
};

/** Waits until a process has a second socket, beside that on which it listens. */
const hasClient = (pid: string): Promise<true> =>
  eventually(`a client of ${pid}`, async () => {
    const listed = await asTenant(`ls -l /proc/${pid}/fd`);
    return listed.split("socket:").length > 2 ? true : undefined;
  });

/** Runs a line of sh in the supervisor's container as the tenant. */
const asTenant = (script: string): Promise<string> =>
  appliance.compose("exec", "-T", "--user", `${alice.uid}:${alice.gid}`, "supervisor", "sh", "-c", script);

/** The statuses that are not 200. */
const troubles = (answers: readonly Answer[]): number[] =>
  answers.map(({ status }) => status).filter((status) => status !== 200);

const pidIn = (body: string): string => body.split(" ")[0] ?? "";

describe("a host that the policy grants", () => {
  it("a granted host is published with PHP as the tenant and static files, and serves no source text", async () => {
    expect(await ask("shop")).toMatchObject({ status: 200, body: expect.stringMatching(new RegExp(`^\\d+ ${NAME}$`)) });
    expect(await ask("shop", "/note.txt")).toMatchObject({ status: 200, body: "static\n" });
    expect(await ask("files", "/note.txt")).toMatchObject({ status: 200, body: "static\n" });
    expect(await ask("files", "/index.php")).toMatchObject({ status: 404 });
  });

  it("a host that the policy does not grant is answered by the demo site", async () => {
    expect((await ask("other")).body).toContain("It runs.");
    expect(await dmctl("status", "--long")).toMatch(/other\.test/);
  });

  it("a site answers 503 with Retry-After while its daemon is stopped, and still serves its files", async () => {
    await dmctl("stop", "shop");
    const answer = await ask("shop");
    expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "5"]);
    expect(answer.body).toContain("not available at the moment");
    expect((await ask("shop", "/note.txt")).status).toBe(200);
    await dmctl("start", "shop");
    expect((await ask("shop")).status).toBe(200);
  });

  it("a site has logs on the host that its owner can read and others cannot", async () => {
    const log = join(appliance.directory, `site-logs/${NAME}/shop.test.access.log`);
    const read = await alice.run(process.env, "cat", log);
    expect(read.stdout).toMatch(/ shop\.test .* "GET \/note\.txt HTTP\/1\.1" 200 /);
    const { mode, gid } = statSync(join(log, ".."));
    expect([mode & 0o7777, gid]).toEqual([0o750, alice.gid]);
  });
});

describe("a restart", () => {
  it("a restart of php-cgi under a loop of requests loses none, not even a slow one", async () => {
    const before = await dmctl("shop", "pid");
    const slow = ask("shop", "/?slow");
    await hasClient(before);
    const answers = await during("shop", async () => {
      for (let round = 0; round < 3; round += 1) await dmctl("restart", "shop");
    });
    expect(troubles(answers)).toEqual([]);
    expect(pidIn((await slow).body)).toBe(before);
    expect(pidIn(answers.at(-1)?.body ?? "")).not.toBe(before);
  });

  it("a restart drains a program that does not catch TERM, and waits for the readiness of the new one", async () => {
    const before = await dmctl("line", "pid");
    const slow = ask("line", "/slow");
    await hasClient(before);
    const answers = await during("line", () => dmctl("restart", "line"));
    expect((await slow).body).toBe(`${before} old\n`);
    expect(troubles(answers)).toEqual([]);
    const after = await dmctl("line", "pid");
    expect(after).not.toBe(before);
    expect((await ask("line")).body).toBe(`${after} old\n`);
    expect((await appliance.exec("supervisor", "test", "-e", `/proc/${before}`)).code).toBe(1);
  });
});

test("a sleeping site has no process, is started by a client, and goes to sleep again", async () => {
  await reaches("nap", "asleep");
  await expect(dmctl("nap", "pid")).rejects.toThrow("has no process");
  expect(await ask("nap")).toMatchObject({ status: 200, body: expect.stringMatching(new RegExp(`^\\d+ ${NAME}$`)) });
  // Longer than its idle-timeout.
  expect(await ask("nap", "/?slow")).toMatchObject({ status: 200 });
  await reaches("nap", "asleep");
});

test("a socket that a daemon binds itself is published, also after a restart", async () => {
  await reaches("own", "running");
  expect(await ask("own")).toMatchObject({ status: 200, body: `${await dmctl("own", "pid")} ${NAME}` });
  const answers = await during("own", () => dmctl("restart", "own"));
  expect(troubles(answers)).toEqual([]);
  expect((await ask("own")).body).toBe(`${await dmctl("own", "pid")} ${NAME}`);
});

test("a daemon with chroot= has its jail as root, with limits, variables and a lock, and without a capability", async () => {
  await reaches("jail", "running");
  const pid = await dmctl("jail", "pid");
  expect(await asTenant(`readlink /proc/${pid}/root`)).toBe(`${alice.home}/jail`);
  const status = await asTenant(`cat /proc/${pid}/status`);
  const sets = status.split("\n").filter((line) => line.startsWith("Cap"));
  expect(sets.map((line) => line.split(/\s+/)[1])).toEqual(Array(5).fill("0".repeat(16)));
  expect(status).toMatch(new RegExp(`^Uid:(\\t${alice.uid}){4}$`, "m"));
  expect(await asTenant(`grep '^Max open files' /proc/${pid}/limits`)).toMatch(/ 123 +123 /);
  expect(await asTenant(`tr '\\0' '\\n' </proc/${pid}/environ`)).toContain("WHERE=container");
  expect(await asTenant(`cut -d' ' -f19 /proc/${pid}/stat`)).toBe("5");
  expect(await asTenant(`flock --nonblock ${alice.home}/lock true || echo held`)).toBe("held");
});

test("a log is rotated and compressed, and the owner reads all of it", async () => {
  await eventually("a rotated log", async () => {
    const names = readdirSync(join(alice.home, ".daemon-manager/logs/talk"));
    return names.some((name) => name.startsWith("@")) ? true : undefined;
  });
  const lines = (await dmctl("log", "talk", "--all", "--raw")).split("\n");
  expect(lines.map((line) => / line (\d+),/.exec(line)?.[1])).toEqual(
    Array.from({ length: 400 }, (_, at) => `${at + 1}`),
  );
});

test("a service directory runs, with the programs of daemontools' names", async () => {
  await reaches("tool", "running");
  const pid = await dmctl("tool", "pid");
  expect(await asTenant(`tr '\\0' '\\n' </proc/${pid}/environ`)).toContain("WHERE=container");
  expect(await asTenant(`grep '^Max open files' /proc/${pid}/limits`)).toMatch(/ 50 +50 /);
});

test("an owner adds a daemon with dmctl edit through the host's run directory", async () => {
  await alice.write("editor", `#!/bin/sh\nprintf 'start = exec sleep 10000\\nautostart = no\\n' >"$1"\n`);
  const socket = join(appliance.directory, `run/users/${NAME}/command.sock`);
  const environment = { ...appliance.environment, DMCTL_SOCKET: socket, EDITOR: `sh ${alice.home}/editor` };
  const edited = await alice.run(environment, join(appliance.directory, "bin/dmctl"), "edit", "made");
  expect(edited).toMatchObject({ code: 0 });
  expect(readdirSync(join(alice.home, ".daemon-manager/daemons"))).toContain("made.conf");
  expect(await dmctl("list")).toContain(`${NAME}/made`);
});

test("a site installer that is killed is back at once, and installs the next site", async () => {
  const installer = () => appliance.shell("nginx", "s6-svstat -o pid /etc/dmhost-nginx/temp/services/site-installer");
  const former = await installer();
  expect(former).toMatch(/^[1-9]\d*$/);
  await appliance.shell("nginx", `kill -9 ${former}`);
  const conf = "start = exec sleep 10000\nhost = late.test\ndocroot = ~/www\n";
  await alice.write(".daemon-manager/daemons/late.conf", conf);
  await dmctl("rescan");
  await eventually("the late site", async () => {
    const { status, body } = await ask("late", "/note.txt");
    return status === 200 && body === "static\n" ? true : undefined;
  });
  expect(await installer()).not.toBe(former);
});

describe("kill -9 of the supervisor", () => {
  it("kill -9 of the supervisor loses no request of a running site, and the next supervisor publishes all sites", async () => {
    const answers = await during("shop", async () => {
      const supervisor = await appliance.shell("supervisor", "s6-svstat -o pid /run/services/supervisor");
      await appliance.shell("supervisor", `kill -9 ${supervisor}`);
      await eventually("another supervisor", async () => {
        const { code } = await appliance.exec("supervisor", "dmctl", "health");
        return code === 0 ? true : undefined;
      });
      await reaches("shop", "running");
    });
    expect(troubles(answers)).toEqual([]);
    for (const host of ["shop", "line", "nap", "own"]) expect([host, (await ask(host)).status]).toEqual([host, 200]);
    await reaches("jail", "running");
  });
});
