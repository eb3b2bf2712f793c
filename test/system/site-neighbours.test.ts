/** Sites of one tenant beside those of others: a real Nginx in front of daemons of real accounts. */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { childrenOf, descriptorsOf } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";
import { WebServer } from "./web-server.ts";

let stage: Stage;
let mallory: Account;
let bob: Account;
let worker: Account;
let supervisor: Supervisor;
let web: WebServer;
let toolbox: Toolbox;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  await stage.group("web");
  [mallory, bob] = [await stage.account("mallory"), await stage.account("bob")];
  worker = await stage.account("www", "web");
  web = await WebServer.make(stage.directory, worker);
  const policy = [
    `nginx-group = ${nameFor("web")}`,
    "[runs_as]",
    mallory.name,
    bob.name,
    "[hosts]",
    `${mallory.name}: *.greenfelt.net`,
    `${bob.name}: *.example.org`,
  ];
  supervisor = stage.supervisor("main", policy, { flags: web.flags });
  for (const account of [mallory, bob]) {
    chmodSync(account.home, 0o711);
    account.write("www/hello.txt", `${account.name}\n`);
    chmodSync(`${account.home}/www`, 0o755);
  }
  site(bob, "calm", "calm.example.org");
  await supervisor.start();
  await web.start();
  await shows("calm.example.org", bob);
});
afterAll(async () => {
  await web?.stop();
  await stage.remove();
});

/** A site of files alone, whose daemon does not run. */
const site = (owner: Account, name: string, ...hosts: string[]): string =>
  owner.writeConf(
    name,
    "start = exec sleep 1000",
    "autostart = no",
    "app = static",
    "docroot = ~/www",
    `host = ${hosts.join(", ")}`,
  );
const hostsOf = async (owner: Account, name: string) => (await supervisor.status(`${owner.name}/${name}`)).hosts;
const refusal = (owner: Account, name: string, seconds?: number) =>
  until(
    `a refused site of ${name}`,
    async () => (await hostsOf(owner, name)).find(({ state, reason }) => state === "refused" && reason),
    seconds,
  ).then(({ reason }) => reason);
const shows = (host: string, owner: Account) =>
  until(`${host}`, async () => (await web.visit(host, "/hello.txt")).body === `${owner.name}\n`);
/** Removes daemons, and waits until the web server works without their sites. */
const remove = async (owner: Account, ...names: string[]): Promise<void> => {
  for (const name of names) {
    // A site whose reload still goes on is not in force yet, and would look as if it were gone.
    const isSettled = async () => (await hostsOf(owner, name)).every(({ state }) => state !== "pending");
    await until(`the state of ${name}`, isSettled);
    await supervisor.act("stop", `${owner.name}/${name}`);
    rmSync(`${owner.home}/${owner.conf(name)}`);
  }
  await supervisor.rescan();
  const gone = (): boolean => names.every((name) => !web.inForce().includes(`# site ${owner.name}/${name}\n`));
  await until(`the sites of ${names.join(", ")} gone`, gone);
};

test("a host too long for the name of its log is an error with file and line, and the longest one is published", async () => {
  const host = (length: number): string => `${"a.".repeat(120)}greenfelt.net`.slice(-length);
  const file = site(mallory, "long", host(243));
  const longest = host(242).startsWith(".") ? `b${host(241)}` : host(242);
  site(mallory, "longest", longest);
  await supervisor.rescan();
  expect((await supervisor.status(`${mallory.name}/long`)).reason).toMatch(
    new RegExp(`^${mallory.home}/${mallory.conf("long")}:5: `),
  );
  expect(file).toBeTruthy();
  await shows(longest, mallory);
  await remove(mallory, "longest");
  rmSync(`${mallory.home}/${mallory.conf("long")}`);
  await supervisor.rescan();
});

test("sites that Nginx refuses are left out with the reason, and other owners' sites are published", async () => {
  const logs = ["x", "y", "z"].map((name) => `${web.logs}/${mallory.name}/${name}.greenfelt.net.access.log`);
  // Nginx cannot open these logs, and refuses the configuration for each.
  for (const log of logs) mkdirSync(log, { recursive: true });
  for (const name of ["x", "y", "z", "fine"]) site(mallory, name, `${name}.greenfelt.net`);
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  await shows("new.example.org", bob);
  await shows("fine.greenfelt.net", mallory);
  for (const name of ["x", "y", "z"]) {
    const reason = await refusal(mallory, name);
    expect(reason).toContain(`host ${name}.greenfelt.net: the web server refuses this site: `);
    expect(reason).toMatch(/Is a directory/);
    expect((await supervisor.status(`${mallory.name}/${name}`)).warnings).toContain(reason);
    const line = `the web server leaves out the site of ${mallory.name}/${name}: `;
    await until(`"${line}"`, () => supervisor.text().includes(line));
  }
  for (const log of logs) rmSync(log, { recursive: true });
  await remove(mallory, "x", "y", "z", "fine");
  await remove(bob, "new");
});

test("a site that was published while the web server was away is in force after its start", async () => {
  await web.stop();
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  await until("the site that waits", async () => (await hostsOf(bob, "new"))[0]?.state === "pending");
  const before = web.text().length;
  await web.start();
  await until("it published", async () => (await hostsOf(bob, "new"))[0]?.state === "published");
  expect(web.text().slice(before)).not.toContain("are the same file");
  await shows("new.example.org", bob);
  await remove(bob, "new");
});

test("on a full disk all sites stay in force, and a new one is published once there is room", async () => {
  const accepted = `${web.directory}/accepted`;
  const inForce = web.inForce();
  const options = `size=64k,mode=755,uid=${worker.uid},gid=${worker.gid}`;
  await web.stop();
  await succeed("mount", "-t", "tmpfs", "-o", options, "dmhost-test", accepted);
  try {
    writeFileSync(`${accepted}/sites.conf`, inForce);
    chownSync(`${accepted}/sites.conf`, worker.uid, worker.gid);
    writeFileSync(`${accepted}/ballast`, Buffer.alloc(1 << 20));
  } catch {
    // It is as full as it can be.
  }
  try {
    await web.start();
    site(bob, "new", "new.example.org");
    await supervisor.rescan();
    await until("the reason", async () => {
      const [standing] = await hostsOf(bob, "new");
      return standing?.state === "pending" && /cannot write to \S+: its disk/.test(standing.reason);
    });
    expect(web.inForce()).toBe(inForce);
    await shows("calm.example.org", bob);
    rmSync(`${accepted}/ballast`);
    await until("it published", async () => (await hostsOf(bob, "new"))[0]?.state === "published");
    await shows("new.example.org", bob);
  } finally {
    await web.stop();
    await succeed("umount", "--lazy", accepted);
    await web.start();
  }
  await remove(bob, "new");
});

test("a site installer that is killed restarts and publishes the next site, and Nginx keeps running", async () => {
  const master = web.pid;
  for (let round = 0; round < 3; round += 1) {
    const former = await web.pidOf("site-installer");
    expect(former).toBeGreaterThan(0);
    process.kill(former, "SIGKILL");
    site(bob, "new", `round-${round}.example.org`);
    await supervisor.rescan();
    await shows(`round-${round}.example.org`, bob);
    expect(await web.pidOf("site-installer")).not.toBe(former);
  }
  expect(web.pid).toBe(master);
  await remove(bob, "new");
});

test("Nginx restarts with all sites after its master was killed, and new sites are published", async () => {
  const former = web.pid;
  process.kill(former, "SIGKILL");
  await until("another master", async () => {
    const pid = await web.pidOf("nginx");
    if (pid === 0 || pid === former) return false;
    return web.visit("calm.example.org").catch(() => undefined);
  });
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  await shows("new.example.org", bob);
  await shows("calm.example.org", bob);
  await remove(bob, "new");
});

test("a site is pending while Nginx cannot fork for its reload, and published after the next one", async () => {
  const limit = (soft: string) => succeed(...worker.become, "prlimit", "--pid", `${web.pid}`, `--nproc=${soft}:`);
  await limit("1");
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  let seen = "";
  const isPending = async (): Promise<boolean> => {
    const [standing] = await hostsOf(bob, "new");
    seen = JSON.stringify(standing);
    return standing?.state === "pending" && /did not reload/.test(standing.reason);
  };
  await until("the reason", isPending, 45).catch(({ message }: Error) => {
    throw new Error(`${message}; at last ${seen}\n${supervisor.text().slice(-2000)}`);
  });
  await limit("1000");
  await until("it published", async () => (await hostsOf(bob, "new"))[0]?.state === "published", 60);
  await shows("new.example.org", bob);
  await remove(bob, "new");
  await web.stop();
  await web.start();
}, 150_000);

test("worker_shutdown_timeout ends old workers although a visitor stays connected", async () => {
  await web.stop();
  const file = `${web.directory}/nginx.conf`;
  const text = readFileSync(file, "utf8");
  const hasty = text.replace(/^worker_shutdown_timeout .*;$/m, "worker_shutdown_timeout 1s;");
  expect(hasty).not.toBe(text);
  writeFileSync(file, hasty);
  await web.start();
  mallory.writeConf("hung", "start = exec sleep 1000", "listen = fastcgi", "host = hung.greenfelt.net");
  await supervisor.rescan();
  await until("hung published", async () => (await hostsOf(mallory, "hung"))[0]?.state === "published");
  const leaves = Promise.withResolvers<void>();
  const socket = connect(web.port, "127.0.0.1").on("error", () => undefined);
  socket.on("close", () => leaves.resolve()).write("GET / HTTP/1.1\r\nHost: hung.greenfelt.net\r\n\r\n");
  try {
    // Its request takes a minute. A worker that accepted it after a reload keeps it until the next reload.
    let left = false;
    for (let change = 1; !left && change <= 5; change += 1) {
      await pause(200);
      site(mallory, "toggle", `t${change}.greenfelt.net`);
      await supervisor.rescan();
      left = await Promise.race([leaves.promise.then(() => true), pause(6000).then(() => false)]);
    }
    expect(left).toBe(true);
  } finally {
    socket.destroy();
  }
  await remove(mallory, "hung", "toggle");
  await web.stop();
  writeFileSync(file, text);
  await web.start();
});

/** Bytes of the files below a directory that the web server's processes have open: they have no names any more. */
const heldFiles = (directory: string): number => {
  let sum = 0;
  for (const pid of childrenOf(web.pid)) {
    try {
      for (const [fd, path] of descriptorsOf(pid)) {
        if (path.startsWith(directory)) sum += statSync(`/proc/${pid}/fd/${fd}`).size;
      }
    } catch {
      // It has ended, or closed one, meanwhile.
    }
  }
  return sum;
};

test("an answer that its visitor does not read takes at most 2 MB of disk", async () => {
  const node = `require("http").createServer((q, a) => a.end(Buffer.alloc(40e6, 120))).listen({ fd: 3 })`;
  const perl =
    'my $q = FCGI::Request(); while ($q->Accept() >= 0) { print "Content-Type: text/plain\\r\\n\\r\\n"; ' +
    'print "x" x 65536 for 1..600 }';
  mallory.writeConf(
    "http",
    "listen = http",
    "docroot = ~/www",
    "host = flood-http.greenfelt.net",
    `start = exec ${toolbox.node} -e '${node}'`,
  );
  mallory.writeConf(
    "fastcgi",
    "listen = fastcgi",
    "app = fastcgi",
    "docroot = ~/www",
    "host = flood-fastcgi.greenfelt.net",
    `start = exec perl -MFCGI -e '${perl}'`,
  );
  await supervisor.rescan();
  for (const [app, directory] of [
    ["http", "proxy"],
    ["fastcgi", "fastcgi"],
  ] as const) {
    await shows(`flood-${app}.greenfelt.net`, mallory);
    const held = (): number => heldFiles(`${web.directory}/temp/${directory}/`);
    const sockets: Socket[] = [];
    const ask = (): void => {
      const socket = connect({ port: web.port, host: "127.0.0.1" }).on("error", () => undefined);
      socket.pause().write(`GET / HTTP/1.0\r\nHost: flood-${app}.greenfelt.net\r\n\r\n`);
      sockets.push(socket);
    };
    try {
      const full = await until(`what is kept of ${app}`, async () => {
        const before = held();
        // A worker from before the reload may have accepted the request.
        if (before === 0) ask();
        await pause(500);
        return before > 0 && before === held() ? before : undefined;
      });
      // The write that reaches the bound is still made.
      expect(full).toBeLessThan(sockets.length * (2 << 20));
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  }
  await remove(mallory, "http", "fastcgi");
});

test("a daemon has a warning with the reason when its owner cannot read the logs of its sites", async () => {
  // Reloads are spaced.
  await until("it published", async () => (await hostsOf(bob, "calm"))[0]?.state === "published", 60);
  expect((await hostsOf(bob, "calm"))[0]?.logProblem).toBe("");
  await mallory.join("bob");
  await supervisor.rescan();
  const trouble = await until("the trouble", async () => (await hostsOf(bob, "calm"))[0]?.logProblem || undefined);
  expect(trouble).toContain(`${bob.name} cannot read the logs of their sites: `);
  const { warnings, hosts } = await supervisor.status(`${bob.name}/calm`);
  expect(warnings.filter((warning) => warning === trouble)).toHaveLength(1);
  for (const reader of [mallory, bob]) {
    // The directory changes with the next review of all sites.
    const reads = async () => (await reader.run(["cat", hosts[0]?.accessLog ?? ""])).code === 0;
    await until(`${reader.name} shut out`, async () => !(await reads()));
  }
  const explained = await bob.run([toolbox.node, toolbox.dmctl, "explain", "calm"]);
  expect(explained.stdout).toContain(`${hosts[0]?.errorLog} (unreadable)`);
  await mallory.leave("bob");
  await supervisor.rescan();
  await until("its end", async () => (await hostsOf(bob, "calm"))[0]?.logProblem === "");
  await until("a log to read", async () => (await bob.run(["cat", hosts[0]?.accessLog ?? ""])).code === 0);
});

/** Requests that are begun together, and what they are answered within the connection's life. */
class ProcessCounts {
  readonly #sockets: Socket[] = [];
  readonly #answers: string[] = [];

  /** Sends as many requests for / of a host; there is no waiting for an answer. */
  async send(host: string, count: number): Promise<void> {
    for (let sent = 0; sent < count; sent += 1) {
      const socket = connect(web.port, "127.0.0.1");
      const at = this.#sockets.push(socket) - 1;
      this.#answers[at] = "";
      socket
        .on("error", () => undefined)
        .on("data", (data) => {
          this.#answers[at] += data.toString("latin1");
        });
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      if (sent % 100 === 99) await pause(10);
    }
  }

  answers(): string[] {
    return this.#answers.filter((answer) => answer.includes("</html>"));
  }

  leave(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

test("requests to hanging daemons are limited by site and by owner, and other owners' visitors are served", async () => {
  for (const name of ["hung", "stuck"]) {
    mallory.writeConf(name, "start = exec sleep 1000", "listen = fastcgi", `host = ${name}.greenfelt.net`);
  }
  await supervisor.rescan();
  await until("the reload", async () => (await hostsOf(mallory, "stuck"))[0]?.state === "published");
  await until("none of the workers of before the reload", async () => {
    const probe = new ProcessCounts();
    await probe.send("hung.greenfelt.net", 1);
    await pause(200);
    probe.leave();
    return !probe.answers().length;
  });
  const crowd = new ProcessCounts();
  try {
    await crowd.send("hung.greenfelt.net", 1600);
    await until("who is too many for one site", () => crowd.answers().length >= 64);
    expect((await web.visit("calm.example.org", "/hello.txt")).body).toBe(`${bob.name}\n`);
    await crowd.send("stuck.greenfelt.net", 600);
    await until("who is too many for one owner", () => crowd.answers().length >= 152);
    expect(crowd.answers()).toHaveLength(152);
    for (const answer of crowd.answers()) {
      expect(answer).toMatch(/^HTTP\/1\.1 503 /);
      expect(answer).toMatch(/\r\nRetry-After: 5\r\n/);
    }
    for (let visit = 0; visit < 20; visit += 1) {
      expect((await web.visit("calm.example.org", "/hello.txt")).body).toBe(`${bob.name}\n`);
    }
    expect(web.text()).not.toContain("worker_connections are not enough");
  } finally {
    crowd.leave();
  }
  await remove(mallory, "hung", "stuck");
});
