/** Ways to listen (listen=), and who may connect to, replace or obstruct a socket. */
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
/** Directory in which a socket that a daemon binds itself is published. */
const publishedOf = (name: string): string => join(supervisor.fastcgiDir, ".bound/.published", alice.name, name);
/** Connects as an account; returns the answer or the text of the error. */
const connectAs = async (account: Account, socket: string): Promise<string> => {
  const script = `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => "${socket}") or do { print "$!"; exit 1 }; print $s "x\\n"; print scalar <$s> // "nothing"`;
  const { stdout } = await account.run(["perl", "-e", script]);
  return stdout;
};

test.each(["systemd", "http", "own", "stdin"])(
  "the socket of the daemon %s answers the web server's group and refuses other accounts",
  async (name) => {
    await until("the published socket", () => statSync(socketOf(name), { throwIfNoEntry: false })?.isSocket());
    const { pid, socket } = await supervisor.status(idOf(name));
    expect(socket).toBe(socketOf(name));
    expect(await connectAs(worker, socket)).toBe(`${pid} old\n`);
    for (const tenant of [alice, bob]) expect(await connectAs(tenant, socket)).toMatch(/Permission denied/);
  },
);

test("a daemon with listen=systemd or listen=http gets its socket as descriptor 3, as in sd_listen_fds(3)", async () => {
  for (const listen of ["systemd", "http"]) {
    const name = `fd3-${listen}`;
    alice.writeConf(name, "start = exec sleep 1000", `listen = ${listen}`);
    await supervisor.rescan();
    const { pid } = await supervisor.reaches(idOf(name), "running");
    const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environmentOf(pid);
    expect([LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES]).toEqual([String(pid), "1", listen]);
    expect(descriptorsOf(pid).get(3)).toMatch(/^socket:/);
    expect((await supervisor.act("stop", idOf(name))).ok).toBe(true);
  }
});

test("a daemon that binds its socket itself can be reached at its path throughout a restart", async () => {
  const before = await supervisor.status(idOf("own"));
  let going = true;
  const polling = (async () => {
    const pids = new Set<number>();
    while (going) pids.add((await askLine(socketOf("own"))).pid);
    return pids;
  })();
  expect(await supervisor.act("restart", idOf("own"))).toMatchObject({ ok: true });
  const after = await supervisor.status(idOf("own"));
  going = false;
  expect(await polling).toContain(before.pid);
  expect((await askLine(socketOf("own"))).pid).toBe(after.pid);
  expect(isRunning(before.pid)).toBe(false);

  process.kill(after.pid, "SIGKILL");
  const next = await supervisor.reaches(idOf("own"), "running", after.pid);
  await until(
    "the new process at the published socket",
    async () => (await askLine(socketOf("own")).catch(() => undefined))?.pid === next.pid,
  );
});

test.each([
  ["the supervisor that started it", false],
  ["the next supervisor, after kill -9", true],
])(
  "a daemon that binds its socket itself loses no accepted or queued request in a restart by %s",
  async (_, killed) => {
    const { pid } = await supervisor.reaches(idOf("own"), "running");
    await until(
      "the published socket",
      async () => (await askLine(socketOf("own")).catch(() => undefined))?.pid === pid,
    );
    if (killed) {
      await supervisor.end("SIGKILL");
      await supervisor.start();
      expect((await supervisor.status(idOf("own"))).pid).toBe(pid);
    }
    // The daemon accepts one connection at a time.
    const requests = [1, 2].map(() => askLine(socketOf("own"), "slow"));
    const ask = 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "slow\n"; $s->flush; print <$s>';
    const distant = run(["unshare", "--net", "perl", "-MIO::Socket::UNIX", "-e", ask, socketOf("own")]);
    await until("the other requests to be queued", async () => {
      const { stdout } = await run(["ss", "-Hxl", "src", `${await boundBy("own")}`]);
      return Number(stdout.trim().split(/\s+/)[2]) === 2;
    });
    expect(await supervisor.act("restart", idOf("own"))).toMatchObject({ ok: true });
    expect((await Promise.all(requests)).map((answer) => answer.pid)).toEqual([pid, pid]);
    expect((await distant).stdout).toBe(`${pid} old\n`);
    expect((await askLine(socketOf("own"))).pid).not.toBe(pid);
  },
);

test("a socket that a candidate process binds is published when the process is ready, never if its start fails", async () => {
  alice.writeConf("slow", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("slow"), "running");
  const ask = () => askLine(socketOf("slow"));
  await until("the published socket", () => ask().catch(() => undefined));
  alice.writeConf("slow", serve("$DM_SOCKET"), "listen = path", "ready = notify", "ready-timeout = 1s");
  const restart = supervisor.act("restart", idOf("slow"));
  let going = true;
  const polling = (async () => {
    const pids = new Set<number>();
    while (going) pids.add((await ask()).pid);
    return [...pids];
  })();
  expect(await restart).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/not ready after 1s \(ready-timeout\)/),
  });
  await until("the candidate to be gone", async () => (await supervisor.status(idOf("slow"))).instances.length === 1);
  going = false;
  expect(await polling).toEqual([pid]);

  alice.writeConf("slow", serve("$DM_SOCKET", "notify", "new"), "listen = path", "ready = notify");
  expect(await supervisor.act("restart", idOf("slow"))).toMatchObject({ ok: true });
  expect((await ask()).word).toBe("new");
  expect((await supervisor.act("stop", idOf("slow"))).ok).toBe(true);
});

test("a socket that a daemon binds after its supervisor has died is published by the next supervisor", async () => {
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
  await until(
    "an answer from the daemon",
    async () => (await askLine(socketOf("late")).catch(() => undefined))?.pid === pid,
  );
  expect((await supervisor.act("stop", idOf("late"))).ok).toBe(true);
});

/** Path at which the daemon's process has bound its socket. */
const boundBy = async (name: string): Promise<string> =>
  environmentOf((await supervisor.status(idOf(name))).pid)["DM_SOCKET"] ?? "";

test("stale files in a daemon's bind directory are removed, however many and deep, and links are not followed", async () => {
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
  // A running supervisor would kill the daemon before it has made all these files.
  await supervisor.end("SIGKILL");
  expect(await alice.run(["perl", program], { env: { D: directory } })).toMatchObject({ code: 0, stderr: "" });
  await supervisor.start();
  await supervisor.reaches(idOf("messy"), "running", pid);
  await until("removal of the run's bind directory", () => !lstatSync(directory, { throwIfNoEntry: false }));
  expect(statSync(join(alice.home, "kept/file")).isFile()).toBe(true);
  expect((await supervisor.act("stop", idOf("messy"))).ok).toBe(true);
  rmSync(join(alice.home, alice.conf("messy")));
  await supervisor.rescan();
  await until(
    "the daemon's bind directories to be removed",
    () => !lstatSync(dirname(directory), { throwIfNoEntry: false }),
  );
});

test("a daemon that a restart moves to another run-as account can bind its socket despite the former account's stale files", async () => {
  const leave = 'mkdir -p "$(dirname "$DM_SOCKET")/left/below"; ';
  const lines = [serve("$DM_SOCKET").replace("exec", `${leave} exec`), "listen = path", "ready-after = 0.1"];
  alice.writeConf("moved", ...lines);
  chmodSync(alice.home, 0o711);
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("moved"), "running");
  await until(
    "the published socket",
    async () => (await askLine(socketOf("moved")).catch(() => undefined))?.pid === pid,
  );
  alice.writeConf("moved", ...lines, `user = ${bob.name}`);
  expect(await supervisor.act("restart", idOf("moved"))).toMatchObject({ ok: true });
  const after = await supervisor.status(idOf("moved"));
  expect(processesOf(bob.uid)).toContain(after.pid);
  await until(
    "the published socket",
    async () => (await askLine(socketOf("moved")).catch(() => undefined))?.pid === after.pid,
  );
  expect((await supervisor.act("stop", idOf("moved"))).ok).toBe(true);
});

test("removing the stale files of a failed run leaves those of the next run, which reuses its number", async () => {
  alice.writeConf("again", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("again"), "running");
  await until(
    "the published socket",
    async () => (await askLine(socketOf("again")).catch(() => undefined))?.pid === pid,
  );
  for (let round = 0; round < 3; round += 1) {
    const mess = 'cd "$(dirname "$DM_SOCKET")"; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); : >$i; done; exit 5';
    alice.writeConf("again", `start = ${mess}`, "listen = path", "ready-after = 0.1");
    expect((await supervisor.act("restart", idOf("again"))).ok).toBe(false);
  }
  alice.writeConf("again", serve("$DM_SOCKET", "no", "new"), "listen = path", "ready-after = 0.1");
  expect(await supervisor.act("restart", idOf("again"))).toMatchObject({ ok: true });
  const directory = dirname(await boundBy("again"));
  await until("the stale files to be removed", () => readdirSync(dirname(directory)).length === 1);
  expect(lstatSync(join(directory, "socket")).isSocket()).toBe(true);
  expect((await askLine(socketOf("again"))).word).toBe("new");
  expect((await supervisor.act("stop", idOf("again"))).ok).toBe(true);
});

test("a start fails with a reason when 64 directories of stale files cannot be removed", async () => {
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

test("a daemon with listen=path cannot publish a link, file, FIFO, directory or socket that does not listen", async () => {
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
    await until("the file at the socket's path", async () => lstatSync(await boundBy(name), { throwIfNoEntry: false }));
    await until("the published link", () => lstatSync(socketOf(name), { throwIfNoEntry: false }) !== undefined);
    // The supervisor checks every 50 ms; this is time for three checks.
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(readlinkSync(socketOf(name))).toBe(`../.bound/.published/${alice.name}/${name}/socket`);
    expect(lstatSync(join(publishedOf(name), "socket"), { throwIfNoEntry: false })).toBeUndefined();
    await expect(askLine(socketOf(name))).rejects.toThrow(/ENOENT/);
    expect((await supervisor.act("stop", idOf(name))).ok).toBe(true);
  }
  // The daemon's account cannot enter the directory of the published socket.
  expect((await alice.run(["ls", publishedOf("link")])).code).not.toBe(0);
  expect((await supervisor.status(idOf("http"))).state).toBe("running");
});

test("stopping a daemon resets queued connections, and the web server cannot connect until the next start", async () => {
  const { pid } = await supervisor.status(idOf("http"));
  process.kill(pid, "SIGSTOP");
  const waiting = [askLine(socketOf("http")), askLine(socketOf("http"))];
  const ends = Promise.allSettled(waiting);
  await until("both connections to be queued", async () => statSync(socketOf("http")).atimeMs > 2000);
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

test("a stale socket path is replaced; a path at which another program listens is kept and fails only its daemon", async () => {
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

test("a program that calls shutdown(2) or a small listen(2) on its held socket harms no later run", async () => {
  const perl = (work: string) => `start = exec perl -MSocket -e '${work}'`;
  const answer = 'while (accept(my $c, STDIN)) { my $line = <$c>; syswrite $c, "$$ x\\n"; close $c } exit 3';
  alice.write("bad", "");
  alice.writeConf(
    "shut",
    perl(`if (unlink "$ENV{HOME}/bad") { shutdown(STDIN, 2); exit 0 } ${answer}`),
    "listen = fastcgi",
  );
  await supervisor.rescan();
  await until("the second run", async () => (await supervisor.status(idOf("shut"))).respawns > 0);
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

test("a daemon whose socket path would exceed 107 bytes is invalid, and the reason names the length", async () => {
  const long = "x".repeat(64);
  alice.writeConf(long, serve("3"), "listen = fastcgi");
  await supervisor.rescan();
  const { state, reason } = await supervisor.status(idOf(long));
  expect([state, reason]).toEqual(["invalid", expect.stringMatching(/socket path of \d+ B, at most 107 B/)]);
});

test("socket directories belong to root and the web server's group, and other accounts cannot enter them", async () => {
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
