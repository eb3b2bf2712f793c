/** The ways to listen, and who may connect to, take, or stand in the way of a socket. */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askLine, lineServer } from "./line-server.ts";
import { descriptorsOf, environmentOf, isRunning, processesOf } from "./proc.ts";
import { run, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let web: number;
let alice: Account;
let bob: Account;
let worker: Account;
let serve: ReturnType<typeof lineServer>;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  web = await stage.group("web");
  [alice, bob, worker] = [await stage.account("alice"), await stage.account("bob"), await stage.account("www", "web")];
  serve = lineServer(alice);
  supervisor = stage.supervisor("main", [
    `nginx-group = ${nameFor("web")}`,
    "[runs_as]",
    `${alice.name}: ${bob.name}`,
    bob.name,
  ]);
  alice.writeConf("systemd", serve("3"), "listen = systemd");
  alice.writeConf("http", serve("3"), "listen = http", "stop-timeout = 0.3");
  alice.writeConf("own", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  alice.writeConf("stdin", serve("0"), "listen = fastcgi");
  await supervisor.start();
  for (const name of ["systemd", "http", "own", "stdin"]) await supervisor.reaches(idOf(name), "running");
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
/** Where what a daemon binds itself is published. */
const publishedOf = (name: string): string => join(supervisor.fastcgiDir, ".bound/.published", alice.name, name);
/** A client in the account's clothes; gives its exit code and what went wrong. */
const connectAs = async (account: Account, socket: string): Promise<string> => {
  const script = `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => "${socket}") or do { print "$!"; exit 1 }; print $s "x\\n"; print scalar <$s> // "nothing"`;
  const { stdout } = await account.run(["perl", "-e", script]);
  return stdout;
};

test.each(["systemd", "http", "own", "stdin"])(
  "listen %s: the web server's group is answered, nobody else gets in",
  async (name) => {
    await until("its socket", () => statSync(socketOf(name), { throwIfNoEntry: false })?.isSocket());
    const { pid, socket } = await supervisor.status(idOf(name));
    expect(socket).toBe(socketOf(name));
    expect(await connectAs(worker, socket)).toBe(`${pid} old\n`);
    for (const tenant of [alice, bob]) expect(await connectAs(tenant, socket)).toMatch(/Permission denied/);
  },
);

test("listen systemd and http: the process is told of descriptor 3 as sd_listen_fds(3) says", async () => {
  for (const listen of ["systemd", "http"]) {
    const name = `told-${listen}`;
    alice.writeConf(name, "start = exec sleep 1000", `listen = ${listen}`);
    await supervisor.rescan();
    const { pid } = await supervisor.reaches(idOf(name), "running");
    const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environmentOf(pid);
    expect([LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES]).toEqual([String(pid), "1", listen]);
    expect(descriptorsOf(pid).get(3)).toMatch(/^socket:/);
    expect((await supervisor.act("stop", idOf(name))).ok).toBe(true);
  }
});

test("a daemon that binds its socket itself is restarted without a path that leads nowhere", async () => {
  const before = await supervisor.status(idOf("own"));
  let going = true;
  const asking = (async () => {
    const pids = new Set<number>();
    while (going) pids.add((await askLine(socketOf("own"))).pid);
    return pids;
  })();
  expect(await supervisor.act("restart", idOf("own"))).toMatchObject({ ok: true });
  const after = await supervisor.status(idOf("own"));
  going = false;
  expect(await asking).toContain(before.pid);
  expect((await askLine(socketOf("own"))).pid).toBe(after.pid);
  expect(isRunning(before.pid)).toBe(false);

  process.kill(after.pid, "SIGKILL");
  const next = await supervisor.reaches(idOf("own"), "running", after.pid);
  await until(
    "its socket published",
    async () => (await askLine(socketOf("own")).catch(() => undefined))?.pid === next.pid,
  );
});

test.each([
  ["its own supervisor", false],
  ["the next one, after a kill -9", true],
])(
  "one that binds its socket itself loses no request to a restart by %s, not even one that waits",
  async (_, killed) => {
    const { pid } = await supervisor.reaches(idOf("own"), "running");
    await until("its socket", async () => (await askLine(socketOf("own")).catch(() => undefined))?.pid === pid);
    if (killed) {
      await supervisor.end("SIGKILL");
      await supervisor.start();
      expect((await supervisor.status(idOf("own"))).pid).toBe(pid);
    }
    // It takes one at a time.
    const requests = [1, 2].map(() => askLine(socketOf("own"), "slow"));
    const ask = 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "slow\n"; $s->flush; print <$s>';
    const distant = run(["unshare", "--net", "perl", "-MIO::Socket::UNIX", "-e", ask, socketOf("own")]);
    await until("all of them there", async () => {
      const { stdout } = await run(["ss", "-Hxl", "src", `${await boundBy("own")}`]);
      return Number(stdout.trim().split(/\s+/)[2]) === 2;
    });
    expect(await supervisor.act("restart", idOf("own"))).toMatchObject({ ok: true });
    expect((await Promise.all(requests)).map((answer) => answer.pid)).toEqual([pid, pid]);
    expect((await distant).stdout).toBe(`${pid} old\n`);
    expect((await askLine(socketOf("own"))).pid).not.toBe(pid);
  },
);

test("what a new process binds is published when it is ready, and not at all where it is given up", async () => {
  alice.writeConf("slow", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("slow"), "running");
  const ask = () => askLine(socketOf("slow"));
  await until("its socket", () => ask().catch(() => undefined));
  alice.writeConf("slow", serve("$DM_SOCKET"), "listen = path", "ready = notify", "ready-timeout = 1s");
  const restart = supervisor.act("restart", idOf("slow"));
  let going = true;
  const asking = (async () => {
    const pids = new Set<number>();
    while (going) pids.add((await ask()).pid);
    return [...pids];
  })();
  expect(await restart).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/not ready after 1s \(ready-timeout\)/),
  });
  await until("the new one gone", async () => (await supervisor.status(idOf("slow"))).instances.length === 1);
  going = false;
  expect(await asking).toEqual([pid]);

  alice.writeConf("slow", serve("$DM_SOCKET", "notify", "new"), "listen = path", "ready = notify");
  expect(await supervisor.act("restart", idOf("slow"))).toMatchObject({ ok: true });
  expect((await ask()).word).toBe("new");
  expect((await supervisor.act("stop", idOf("slow"))).ok).toBe(true);
});

test("what it binds after its supervisor has died is published by the next one", async () => {
  alice.writeConf(
    "late",
    serve("$DM_SOCKET").replace("exec", "until [ -e ~/bind ]; do sleep 0.1; done; exec"),
    "listen = path",
  );
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("late"), "running");
  await supervisor.end("SIGKILL");
  await supervisor.start();
  alice.write("bind", "");
  await until("an answer", async () => (await askLine(socketOf("late")).catch(() => undefined))?.pid === pid);
  expect((await supervisor.act("stop", idOf("late"))).ok).toBe(true);
});

/** Where the daemon's process has bound its socket. */
const boundBy = async (name: string): Promise<string> =>
  environmentOf((await supervisor.status(idOf(name))).pid)["DM_SOCKET"] ?? "";

test("what its process leaves in its directory goes, however much it is; links are not followed", async () => {
  const [depth, breadth] = [3000, 3000];
  const mess = [
    `for (1..${depth}) { mkdir "d" or die; chdir "d" or die }`,
    `chdir $ENV{D}; for (1..${breadth}) { open my $f, ">", "f$_" }`,
    `symlink "$ENV{HOME}/kept", "link"; mkdir "shut"; open my $g, ">", "shut/x"; chmod 0, "shut/x"`,
  ];
  const program = alice.write("mess.pl", `chdir $ENV{D} or die; ${mess.join("; ")};`);
  alice.write("kept/file", "kept\n");
  alice.writeConf("messy", "start = exec sleep 1000", "listen = path");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("messy"), "running");
  const directory = dirname(await boundBy("messy"));
  // It would be ended before it has done all that.
  await supervisor.end("SIGKILL");
  expect(await alice.run(["perl", program], { env: { D: directory } })).toMatchObject({ code: 0, stderr: "" });
  await supervisor.start();
  await supervisor.reaches(idOf("messy"), "running", pid);
  await until("its end", () => !lstatSync(directory, { throwIfNoEntry: false }));
  expect(statSync(join(alice.home, "kept/file")).isFile()).toBe(true);
  expect((await supervisor.act("stop", idOf("messy"))).ok).toBe(true);
  rmSync(join(alice.home, alice.conf("messy")));
  await supervisor.rescan();
  await until("all of it gone", () => !lstatSync(dirname(directory), { throwIfNoEntry: false }));
});

test("where it runs as another account from a restart on, that one can bind and the former's leavings are in nobody's way", async () => {
  const leave = 'mkdir -p "$(dirname "$DM_SOCKET")/left/below"; ';
  const lines = [serve("$DM_SOCKET").replace("exec", `${leave} exec`), "listen = path", "ready-after = 0.1"];
  alice.writeConf("moved", ...lines);
  chmodSync(alice.home, 0o711);
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("moved"), "running");
  await until("its socket", async () => (await askLine(socketOf("moved")).catch(() => undefined))?.pid === pid);
  alice.writeConf("moved", ...lines, `user = ${bob.name}`);
  expect(await supervisor.act("restart", idOf("moved"))).toMatchObject({ ok: true });
  const after = await supervisor.status(idOf("moved"));
  expect(processesOf(bob.uid)).toContain(after.pid);
  await until("its socket", async () => (await askLine(socketOf("moved")).catch(() => undefined))?.pid === after.pid);
  expect((await supervisor.act("stop", idOf("moved"))).ok).toBe(true);
});

test("the leavings of a run that was given up are not taken for those of the next, which has its number", async () => {
  alice.writeConf("again", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("again"), "running");
  await until("its socket", async () => (await askLine(socketOf("again")).catch(() => undefined))?.pid === pid);
  for (let round = 0; round < 3; round += 1) {
    const mess = 'cd "$(dirname "$DM_SOCKET")"; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); : >$i; done; exit 5';
    alice.writeConf("again", `start = ${mess}`, "listen = path", "ready-after = 0.1");
    expect((await supervisor.act("restart", idOf("again"))).ok).toBe(false);
  }
  alice.writeConf("again", serve("$DM_SOCKET", "no", "new"), "listen = path", "ready-after = 0.1");
  expect(await supervisor.act("restart", idOf("again"))).toMatchObject({ ok: true });
  const directory = dirname(await boundBy("again"));
  await until("the leavings gone", () => readdirSync(dirname(directory)).length === 1);
  expect(lstatSync(join(directory, "socket")).isSocket()).toBe(true);
  expect((await askLine(socketOf("again"))).word).toBe("new");
  expect((await supervisor.act("stop", idOf("again"))).ok).toBe(true);
});

test("one whose leavings cannot be taken away is told so before they are too many", async () => {
  const command = 'cd "$(dirname "$DM_SOCKET")"; mkdir shut; echo x >shut/x; chmod 0 shut; exit 0';
  alice.writeConf("heaps", `start = ${command}`, "listen = path", "autostart = no", "max-retries = 0");
  await supervisor.rescan();
  const parent = join(supervisor.fastcgiDir, ".bound", alice.name, "heaps");
  mkdirSync(parent, { recursive: true });
  for (let run = 1000; run < 1064; run += 1) {
    mkdirSync(join(parent, String(run)));
    chownSync(join(parent, String(run)), alice.uid, -1);
    mkdirSync(join(parent, String(run), "left"));
  }
  const { ok, reason } = await supervisor.act("start", idOf("heaps"));
  expect([ok, reason]).toEqual([false, expect.stringMatching(/64 directories .* cannot be removed/)]);
  rmSync(parent, { recursive: true });
});

test("what a daemon puts at its path instead of a socket of its own is never published", async () => {
  const victim = socketOf("http");
  const trap = (command: string) => [`start = ${command}; exec sleep 1000`, "listen = path"];
  alice.writeConf("link", ...trap(`ln -s ${victim} "$DM_SOCKET"`));
  alice.writeConf("file", ...trap(`echo x >"$DM_SOCKET"`));
  alice.writeConf("fifo", ...trap(`mkfifo "$DM_SOCKET"`));
  alice.writeConf("directory", ...trap(`mkdir "$DM_SOCKET"`));
  const bind = (type: string): string =>
    `perl -MSocket -e 'socket(S, AF_UNIX, ${type}, 0) && bind(S, sockaddr_un($ENV{DM_SOCKET})) or die; sleep 1000' & true`;
  alice.writeConf("deaf", ...trap(bind("SOCK_STREAM")));
  alice.writeConf("datagram", ...trap(bind("SOCK_DGRAM")));
  await supervisor.rescan();
  for (const name of ["link", "file", "fifo", "directory", "deaf", "datagram"]) {
    await supervisor.reaches(idOf(name), "running");
    await until("what it puts there", async () => lstatSync(await boundBy(name), { throwIfNoEntry: false }));
    await until("a look at it", () => lstatSync(socketOf(name), { throwIfNoEntry: false }) !== undefined);
    // The supervisor looks again and again; give it three looks.
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(readlinkSync(socketOf(name))).toBe(`../.bound/.published/${alice.name}/${name}/socket`);
    expect(lstatSync(join(publishedOf(name), "socket"), { throwIfNoEntry: false })).toBeUndefined();
    await expect(askLine(socketOf(name))).rejects.toThrow(/ENOENT/);
    expect((await supervisor.act("stop", idOf(name))).ok).toBe(true);
  }
  // Nor can it reach the directory in which it would be.
  expect((await alice.run(["ls", publishedOf("link")])).code).not.toBe(0);
  expect((await supervisor.status(idOf("http"))).state).toBe("running");
});

test("while nobody will be there to answer, the web server is turned away at once, and those who wait are sent away", async () => {
  const { pid } = await supervisor.status(idOf("http"));
  process.kill(pid, "SIGSTOP");
  const waiting = [askLine(socketOf("http")), askLine(socketOf("http"))];
  const ends = Promise.allSettled(waiting);
  await until("both in the queue", async () => statSync(socketOf("http")).atimeMs > 2000);
  expect((await supervisor.act("stop", idOf("http"))).ok).toBe(true);
  expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await connectAs(worker, socketOf("http"))).toMatch(/Permission denied/);
  await supervisor.up(idOf("http"));
  expect(await connectAs(worker, socketOf("http"))).toMatch(/old/);

  alice.writeConf("hopeless", "start = exit 1", "listen = http", "max-retries = 0");
  await supervisor.rescan();
  await supervisor.reaches(idOf("hopeless"), "failed");
  expect(await connectAs(worker, socketOf("hopeless"))).toMatch(/Permission denied/);
});

test("a stale path is replaced; one on which somebody else listens is left to them, and fails that daemon alone", async () => {
  const directory = dirname(socketOf("taken"));
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(join(directory, "taken.sock"), resolve));
  symlinkSync("/etc/passwd", join(directory, "stale.sock"));
  const listening = ["autostart = no", "listen = http"];
  alice.writeConf("taken", serve("3"), ...listening);
  alice.writeConf("stale", serve("3"), ...listening);
  await supervisor.rescan();
  try {
    const taken = await supervisor.act("start", idOf("taken"));
    expect(taken).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/publishing its socket: .*another program/),
    });
    expect((await supervisor.up(idOf("stale"))).state).toBe("running");
    expect(lstatSync(join(directory, "stale.sock")).isSocket()).toBe(true);
    expect(statSync("/etc/passwd").isFile()).toBe(true);
  } finally {
    server.close();
  }
  expect((await supervisor.up(idOf("taken"))).state).toBe("running");
});

test("a program that shuts the socket down, or shortens its queue, does so for its own run alone", async () => {
  const perl = (work: string) => `start = exec perl -MSocket -e '${work}'`;
  const answer = 'while (accept(my $c, STDIN)) { my $line = <$c>; syswrite $c, "$$ x\\n"; close $c } exit 3';
  alice.write("bad", "");
  alice.writeConf(
    "shut",
    perl(`if (unlink "$ENV{HOME}/bad") { shutdown(STDIN, 2); exit 0 } ${answer}`),
    "listen = fastcgi",
  );
  await supervisor.rescan();
  await until("its second run", async () => (await supervisor.status(idOf("shut"))).respawns > 0);
  await supervisor.reaches(idOf("shut"), "running");
  await askLine(socketOf("shut"));
  expect((await supervisor.status(idOf("shut"))).respawns).toBe(1);

  alice.writeConf("short", perl(`listen(STDIN, 2); select undef, undef, undef, 1; ${answer}`), "listen = fastcgi");
  await supervisor.rescan();
  await supervisor.reaches(idOf("short"), "running");
  const answers = await Promise.allSettled(Array.from({ length: 40 }, () => askLine(socketOf("short"))));
  expect(answers.filter(({ status }) => status === "rejected")).toEqual([]);
  for (const name of ["shut", "short"]) await supervisor.act("stop", idOf(name));
});

test("a path that no socket can have is refused, with its length", async () => {
  const long = "x".repeat(64);
  alice.writeConf(long, serve("3"), "listen = fastcgi");
  await supervisor.rescan();
  const { state, reason } = await supervisor.status(idOf(long));
  expect([state, reason]).toEqual(["invalid", expect.stringMatching(/socket path of \d+ bytes, at most 107/)]);
});

test("the directories belong to root and the web server's group, and are shut to others", async () => {
  const of = (path: string): string => {
    const { uid, gid, mode } = lstatSync(path);
    return `${uid === alice.uid ? "alice" : uid}:${gid === web ? "web" : gid} ${(mode & 0o7777).toString(8)}`;
  };
  expect(of(dirname(socketOf("own")))).toBe("0:web 710");
  expect(of(publishedOf("own"))).toBe("alice:web 2710");
  for (const above of [dirname(publishedOf("own")), dirname(dirname(publishedOf("own")))])
    expect(of(above)).toBe("0:web 710");
  expect(of(join(supervisor.fastcgiDir, ".bound"))).toBe("0:web 711");
});
