import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Appliance, command, eventually, succeed } from "./appliance.ts";
import { HostAccount } from "./host-account.ts";

const TEAM = "dmap-team";
const NAMES = ["dmap-alice", "dmap-bob", "dmap-late"] as const;

let appliance: Appliance;
let alice: HostAccount;
let bob: HostAccount;

const policy = (...owners: string[]): string => `[runs_as]\n${owners.map((owner) => `${owner}:\n`).join("")}`;
const blog = "listen=fastcgi\noutput=log\nstart=exec php-cgi\n";
const page = "<?php echo posix_getpwuid(posix_geteuid())['name'], ' ', file_get_contents('php://input');";

const vhost = (owner: string, host: string): string => `server {
  include listen.conf;
  server_name ${host};
  root /home/${owner}/www;
  location / { try_files $uri =404; }
  location ~ \\.php$ { try_files $uri =404; fastcgi_pass unix:/run/fastcgi/${owner}/blog.sock; }
}
`;

beforeAll(async () => {
  await command(process.env, "groupadd", TEAM);
  alice = await HostAccount.make("dmap-alice", [TEAM, "www-data"]);
  bob = await HostAccount.make("dmap-bob");
  await alice.write(".daemon-manager/daemons/blog.conf", blog);
  await alice.write("www/hello.php", page);
  await alice.write("www/note.txt", "static\n");
  appliance = await Appliance.prepare();
  await appliance.writePolicy(policy("dmhost-demo", "dmap-alice"));
  await writeFile(join(appliance.directory, "config/nginx/blog.conf"), vhost("dmap-alice", "blog.test"));
  await appliance.dmhost("up");
});
afterAll(async () => {
  await appliance?.remove();
  for (const name of NAMES) await HostAccount.remove(name);
  await command(process.env, "groupdel", TEAM);
});

/** dmctl of this machine as one of its accounts, through the host's run directory. */
const dmctl = (account: HostAccount, socket: string, ...args: string[]) =>
  account.run(
    { ...appliance.environment, DMCTL_SOCKET: join(appliance.directory, "run", socket) },
    join(appliance.directory, "bin/dmctl"),
    ...args,
  );
const ownSocket = (account: HostAccount): string => `users/${account.name}/command.sock`;

const statusField = (status: string, field: string): string =>
  new RegExp(`^${field}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1]?.replace(/\s+/g, " ") ?? "";

describe("an account of the host in the policy", () => {
  it("a daemon of a host account runs as that account, with its groups and without privileges of root", async () => {
    const pid = await appliance.shell("supervisor", "dmctl dmap-alice/blog pid");
    const status = await appliance.shell("supervisor", `cat /proc/${pid}/status`);
    expect(statusField(status, "Name")).toBe("php-cgi");
    expect(statusField(status, "Uid")).toBe(Array(4).fill(alice.uid).join(" "));
    expect(statusField(status, "Gid")).toBe(Array(4).fill(alice.gid).join(" "));
    const groups = (await succeed(process.env, "id", "-G", "dmap-alice")).split(" ").map(Number);
    expect(groups).toHaveLength(3);
    const numbers = statusField(status, "Groups").split(" ").map(Number);
    expect(numbers.sort((one, other) => one - other)).toEqual(groups.sort((one, other) => one - other));
    expect(statusField(status, "NoNewPrivs")).toBe("1");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(statusField(status, set)).toBe("0".repeat(16));
    }
  });

  it("the socket of a host account is accessible to nginx's group alone", async () => {
    const modes = await appliance.shell(
      "supervisor",
      "cd /run/fastcgi && stat -c '%U %G %a' . dmap-alice dmap-alice/blog.sock",
    );
    expect(modes.split("\n")).toEqual(["root dmhost-nginx 711", "root dmhost-nginx 710", "root dmhost-nginx 660"]);
  });

  it("a vhost of the administrator serves a host account's PHP and static files", async () => {
    const headers = { host: "blog.test" };
    const sent = await appliance.request("/hello.php", { method: "POST", headers, body: "body" });
    expect(sent).toMatchObject({ status: 200, body: "dmap-alice body" });
    expect(await appliance.request("/note.txt", { headers })).toMatchObject({ status: 200, body: "static\n" });
  });

  it("a host account owns its log on the host", async () => {
    const log = await stat(join(alice.home, ".daemon-manager/logs/blog/current"));
    expect([log.uid, log.gid]).toEqual([alice.uid, alice.gid]);
  });

  it("a host account controls its own daemons from the host and sees no others", async () => {
    const listed = await dmctl(alice, ownSocket(alice), "list");
    expect(listed).toMatchObject({ code: 0, stdout: "dmap-alice/blog\n" });
    const before = (await dmctl(alice, ownSocket(alice), "blog", "pid")).stdout;
    expect(await dmctl(alice, ownSocket(alice), "restart", "blog")).toMatchObject({ code: 0 });
    expect((await dmctl(alice, ownSocket(alice), "blog", "pid")).stdout).not.toBe(before);
    expect(await dmctl(alice, ownSocket(alice), "stop", "dmhost-demo/site")).toMatchObject({ code: 3 });
    // The public socket knows her too: the kernel says who calls.
    expect(await dmctl(alice, "command.sock", "list")).toMatchObject({ code: 0, stdout: "dmap-alice/blog\n" });
  });
});

describe("an account of the host that fills the directory of its socket", () => {
  it("a daemon that fills its bind directory is killed with the reason, its files are removed, and another one starts", async () => {
    const fill = `perl -e 'my $i; 1 while open(my $f, ">", "f" . $i++); sleep 1000'`;
    await alice.write(
      ".daemon-manager/daemons/flood.conf",
      `listen=path\nmax-retries=0\nstart=cd "$(dirname "$DM_SOCKET")"; exec ${fill}\n`,
    );
    await dmctl(alice, ownSocket(alice), "rescan");
    await eventually("its end", async () => {
      const { stdout } = await dmctl(alice, ownSocket(alice), "explain", "flood");
      return stdout.includes("more than 64 files") || undefined;
    });
    await eventually("its files gone", async () => {
      const counts = await appliance.shell("supervisor", "stat --file-system -c '%c %d' /run/fastcgi/.bound");
      const [all = 0, free = 0] = counts.trim().split(" ").map(Number);
      return all - free < 100 || undefined;
    });

    const bind = 'listen=path\nstart=exec php-cgi -b "$DM_SOCKET"\n';
    await alice.write(".daemon-manager/daemons/own.conf", bind);
    await dmctl(alice, ownSocket(alice), "rescan");
    const socket = "/run/fastcgi/dmap-alice/own.sock";
    await eventually("its socket, in nginx's container", async () =>
      (await appliance.exec("nginx", "test", "-S", socket)).code === 0 ? true : undefined,
    );
    expect((await appliance.exec("nginx", "test", "-w", socket)).code).toBe(0);
    await alice.run(process.env, "rm", join(alice.home, ".daemon-manager/daemons/flood.conf"));
    await alice.run(process.env, "rm", join(alice.home, ".daemon-manager/daemons/own.conf"));
    for (const name of ["flood", "own"]) await dmctl(alice, ownSocket(alice), "stop", name);
    await dmctl(alice, ownSocket(alice), "rescan");
  });
});

describe("an account of the host outside the policy", () => {
  it("an account outside the policy can use no socket and learns that the policy does not list it", async () => {
    expect(await dmctl(bob, ownSocket(alice), "list")).toMatchObject({ code: 3, stdout: "" });
    const refused = await dmctl(bob, "command.sock", "list");
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain("dmap-bob");
  });
});

describe("./dmhost up, after the machine changed", () => {
  it("./dmhost up adds a new account and loads a new vhost without a restart of nginx's container", async () => {
    const late = await HostAccount.make("dmap-late");
    await late.write(".daemon-manager/daemons/blog.conf", blog);
    await late.write("www/hello.php", page);
    await appliance.writePolicy(policy("dmhost-demo", "dmap-alice", "dmap-late"));
    await writeFile(join(appliance.directory, "config/nginx/late.conf"), vhost("dmap-late", "late.test"));
    const nginx = (await appliance.inspect("nginx")).Id;
    const output = await appliance.dmhost("up");
    expect(output).toContain("accounts: changed on this machine");
    expect(output).toContain("reloaded the vhosts");
    expect((await appliance.inspect("nginx")).Id).toBe(nginx);
    const answer = await eventually("the new account's site", async () => {
      const got = await appliance.request("/hello.php", { headers: { host: "late.test" } });
      return got.status === 200 ? got.body : undefined;
    });
    expect(answer.trim()).toBe("dmap-late");
  });

  it("./dmhost up rejects a vhost that nginx does not accept, and nginx continues", async () => {
    await writeFile(join(appliance.directory, "config/nginx/wrong.conf"), "server { nonsense; }\n");
    await expect(appliance.dmhost("up")).rejects.toThrow(/vhosts\/wrong\.conf:1/);
    expect((await appliance.request("/note.txt", { headers: { host: "blog.test" } })).status).toBe(200);
  });
});
