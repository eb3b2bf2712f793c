/** What the sites of one tenant can do to those of others: a real nginx in front of daemons of real accounts. */
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { argumentsOf, childrenOf, descriptorsOf, isRunning } from "./proc.ts";
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
    await supervisor.act("stop", `${owner.name}/${name}`);
    rmSync(`${owner.home}/${owner.conf(name)}`);
  }
  await supervisor.rescan();
  const gone = (): boolean =>
    names.every((name) => !web.offered().includes(`# site ${owner.name}/${name}\n`)) && web.hasAnswered();
  await until(`the sites of ${names.join(", ")} gone`, gone);
};

test("a host whose logs could not be called by it is refused with its line, and the longest one is a site", async () => {
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

test("a daemon whose socket has too long a path for nginx has no site, and says why", async () => {
  const name = "n".repeat(64);
  mallory.writeConf(name, "start = exec sleep 1000", "listen = fastcgi", "app = fastcgi", "host = n.greenfelt.net");
  await supervisor.rescan();
  expect(await refusal(mallory, name)).toMatch(/^host n\.greenfelt\.net: .*n\.sock.* 107 bytes/);
  await remove(mallory, name);
});

test("sites that nginx refuses are left out, each with the reason to its owner, and nobody else waits for them", async () => {
  await web.stop();
  // No trial of the web server's own in between.
  await web.start({ DMHOST_SITE_RETRY_PAUSE: "1000000" });
  const logs = ["x", "y", "z"].map((name) => `${web.logs}/${mallory.name}/${name}.greenfelt.net.access.log`);
  // nginx cannot open these logs, and refuses the whole for each.
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
    const line = `the web server leaves out the sites of ${mallory.name}/${name}: `;
    await until(`"${line}"`, () => supervisor.text().includes(line));
  }
  // What is known to be refused costs the next change nothing.
  const trials = (): number => web.said().filter((line) => line.includes("left out")).length;
  const before = trials();
  site(bob, "newer", "newer.example.org");
  await supervisor.rescan();
  await shows("newer.example.org", bob);
  expect(trials()).toBe(before);
  for (const log of logs) rmSync(log, { recursive: true });
  await remove(mallory, "x", "y", "z", "fine");
  await remove(bob, "new", "newer");
  await web.stop();
  await web.start();
});

test("what stood in a site's way and is gone is found by itself", async () => {
  await web.stop();
  await web.start({ DMHOST_SITE_LOG_PAUSE: "1", DMHOST_SITE_RETRY_PAUSE: "1" });
  const log = `${web.logs}/${mallory.name}/x.greenfelt.net.error.log`;
  mkdirSync(log, { recursive: true });
  site(mallory, "x", "x.greenfelt.net");
  await supervisor.rescan();
  await refusal(mallory, "x");
  rmSync(log, { recursive: true });
  await until("x published", async () => (await hostsOf(mallory, "x"))[0]?.state === "published");
  await shows("x.greenfelt.net", mallory);
  await remove(mallory, "x");
  await web.stop();
  await web.start();
});

test("while what is refused is tried again, there is the answer of before", async () => {
  const bin = `${stage.directory}/watched`;
  mkdirSync(bin);
  const look = `case $* in -t*) [ -e accepted/answer ] || echo trial >>temp/unanswered ;; esac`;
  writeFileSync(`${bin}/nginx`, `#!/bin/sh\n${look}\nexec /usr/sbin/nginx "$@"\n`, { mode: 0o755 });
  await web.stop();
  await web.start({ PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`, DMHOST_SITE_RETRY_PAUSE: "10" });
  const log = `${web.logs}/${mallory.name}/w.greenfelt.net.error.log`;
  mkdirSync(log, { recursive: true });
  site(mallory, "w", "w.greenfelt.net");
  await supervisor.rescan();
  await refusal(mallory, "w");
  const unanswered = (): string => readFileSync(`${web.directory}/temp/unanswered`, "utf8");
  const refusals = (): number => web.said().filter((line) => line.includes("left out")).length;
  const before = [refusals(), unanswered()] as const;
  await until("three trials more", () => refusals() >= before[0] + 3);
  expect(unanswered()).toBe(before[1]);
  rmSync(log, { recursive: true });
  await remove(mallory, "w");
  await web.stop();
  await web.start();
});

test("what was offered while the web server was away is in force at its start, for certain", async () => {
  await web.stop();
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  await until("it offered", () => web.offered().includes("new.example.org"));
  const before = web.text().length;
  await web.start();
  await until("it in force", () => web.inForce() === web.offered());
  expect(web.text().slice(before)).not.toContain("are the same file");
  await shows("new.example.org", bob);
  await remove(bob, "new");
});

test("where there is no room in temp/ no site is lost, and the next ones come when there is", async () => {
  const answer = (): string => readFileSync(`${web.directory}/accepted/answer`, "utf8");
  const disk = `${stage.directory}/disk`;
  mkdirSync(disk);
  await succeed("mount", "-t", "tmpfs", "-o", "size=4k,mode=777", "dmhost-test", disk);
  const log = `${web.logs}/${bob.name}/x.example.org.error.log`;
  try {
    // One that is refused, so that they are tried apart.
    mkdirSync(log, { recursive: true });
    writeFileSync(`${disk}/ballast`, "x".repeat(4096));
    site(bob, "x", "x.example.org");
    await supervisor.rescan();
    await refusal(bob, "x");
    for (const file of ["rest", "trial", "left-out"]) {
      const place = `${web.directory}/temp/${file}`;
      await web.stop();
      rmSync(place, { force: true });
      symlinkSync(`${disk}/${file}`, place);
      await web.start({ DMHOST_SITE_RELOAD_PAUSE: "1", DMHOST_SITE_RETRY_PAUSE: "1" });
      const before = web.inForce();
      site(bob, "new", `${file}.example.org`);
      await supervisor.rescan();
      await until(
        `the refusal without room for temp/${file}`,
        () => web.hasAnswered() && / refused\n.*cannot be written to/.test(answer()),
      );
      expect([file, web.inForce()]).toEqual([file, before]);
      expect((await web.visit("calm.example.org", "/hello.txt")).body).toBe(`${bob.name}\n`);
      rmSync(place);
      await shows(`${file}.example.org`, bob);
    }
  } finally {
    await succeed("umount", "--lazy", disk);
  }
  rmSync(log, { recursive: true });
  await remove(bob, "x", "new");
  await web.stop();
  await web.start();
});

test("the watch for sites is begun again where it ends, or its keeper, and nginx goes on where that cannot be", async () => {
  const master = web.pid;
  const isShell = (pid: number): boolean => argumentsOf(pid)[1] === `${web.directory}/web-server`;
  const watchOf = (pid: number) => until("the watch", () => childrenOf(pid).find(isShell));
  const publishes = async (host: string) => {
    site(bob, "new", host);
    await supervisor.rescan();
    await until(`${host} published`, async () => {
      const [standing] = await hostsOf(bob, "new");
      return standing?.name === host && standing.state === "published";
    });
    await shows(host, bob);
  };
  let keeper = await until("the keeper", () => childrenOf(master).find(isShell));
  process.kill(await watchOf(keeper), "SIGKILL");
  await publishes("again.example.org");
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const former = keeper;
    keeper = await watchOf(former);
    process.kill(former, signal);
    // It waits a little before it is the keeper.
    await until(`what takes the place of the keeper after ${signal}`, () => argumentsOf(keeper)[0] === "perl");
    await publishes(`${signal.toLowerCase()}.example.org`);
  }
  const watch = await watchOf(keeper);
  const limit = (pid: number, soft: string) =>
    succeed(...worker.become, "prlimit", "--pid", `${pid}`, `--nproc=${soft}:`);
  await Promise.all([keeper, watch].map((pid) => limit(pid, "1")));
  // The second is the keeper's.
  await until("the end of both", () => web.text().split("Cannot fork").length > 2 && !isRunning(watch));
  expect((await web.visit("calm.example.org", "/hello.txt")).body).toBe(`${bob.name}\n`);
  await limit(keeper, "1000");
  await publishes("spare.example.org");
  expect([web.pid, isRunning(master)]).toEqual([master, true]);
  await remove(bob, "new");
});

test("a reload for which nginx gets no process is not said to be done, and is done again", async () => {
  await web.stop();
  await web.start({ DMHOST_SITE_RETRY_PAUSE: "20" });
  const limit = (soft: string) => succeed(...worker.become, "prlimit", "--pid", `${web.pid}`, `--nproc=${soft}:`);
  await limit("1");
  site(bob, "new", "new.example.org");
  await supervisor.rescan();
  // A reload is waited for a time.
  expect(await refusal(bob, "new", 60)).toContain("the web server refuses its configuration");
  await limit("1000");
  await until("it published", async () => (await hostsOf(bob, "new"))[0]?.state === "published", 60);
  await shows("new.example.org", bob);
  await remove(bob, "new");
  await web.stop();
  await web.start();
});

test("after a few reloads the next ones wait and come together, so that nobody piles up workers", async () => {
  await web.stop();
  await web.start({ DMHOST_SITE_RELOAD_PAUSE: "1000000" });
  const reloads = (): number => web.said().filter((line) => line.includes("took up")).length;
  const before = reloads();
  for (let change = 1; change <= 6; change += 1) {
    site(mallory, "toggle", `t${change}.greenfelt.net`);
    await supervisor.rescan();
    // The first ones are taken up at once.
    const arrived = change <= 3 ? (): string => web.inForce() : (): string => web.offered();
    await until(`change ${change}`, () => arrived().includes(`server_name t${change}.greenfelt.net;`));
  }
  await pause(1000);
  expect(reloads() - before).toBe(3);
  expect((await hostsOf(mallory, "toggle"))[0]).toMatchObject({ name: "t6.greenfelt.net", state: "pending" });
  await web.stop();
  await web.start({ DMHOST_SITE_RELOAD_PAUSE: "10" });
  for (let change = 11; change <= 15; change += 1) {
    site(mallory, "toggle", `t${change}.greenfelt.net`);
    await supervisor.rescan();
    await until(`change ${change}`, () => web.inForce().includes(`server_name t${change}.greenfelt.net;`));
  }
  await remove(mallory, "toggle");
  await web.stop();
  await web.start();
});

test("a visitor who stays keeps the workers of before a reload only for a time", async () => {
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
    // Its request would take a minute. A worker that took it after a reload keeps it until the next.
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

test("an answer that its visitor does not take fills no disk", async () => {
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
        // A worker of before the reload may have had the request.
        if (before === 0) ask();
        await pause(500);
        return before > 0 && before === held() ? before : undefined;
      });
      // The write with which the bound is reached is made.
      expect(full).toBeLessThan(sockets.length * (2 << 20));
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  }
  await remove(mallory, "http", "fastcgi");
});

test("an owner who cannot read the logs of their sites is told, and why", async () => {
  // Reloads that come close together have a pace.
  await until("it published", async () => (await hostsOf(bob, "calm"))[0]?.state === "published", 60);
  expect((await hostsOf(bob, "calm"))[0]?.logProblem).toBe("");
  await mallory.join("bob");
  await supervisor.rescan();
  const trouble = await until("the trouble", async () => (await hostsOf(bob, "calm"))[0]?.logProblem || undefined);
  expect(trouble).toContain(`${bob.name} cannot read the logs of their sites: `);
  const { warnings, hosts } = await supervisor.status(`${bob.name}/calm`);
  expect(warnings.filter((warning) => warning === trouble)).toHaveLength(1);
  for (const reader of [mallory, bob]) {
    // The directory changes with the next look at all sites, a moment later.
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
class Crowd {
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

test("daemons that hang hold no more of the web server than an owner's share, and others' visitors are served", async () => {
  for (const name of ["hung", "stuck"]) {
    mallory.writeConf(name, "start = exec sleep 1000", "listen = fastcgi", `host = ${name}.greenfelt.net`);
  }
  await supervisor.rescan();
  await until("the reload", async () => (await hostsOf(mallory, "stuck"))[0]?.state === "published");
  await until("none of the workers of before the reload", async () => {
    const probe = new Crowd();
    await probe.send("hung.greenfelt.net", 1);
    await pause(200);
    probe.leave();
    return !probe.answers().length;
  });
  const crowd = new Crowd();
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
