/** The shim while supervisors come and go: exits, sockets, readiness and events that are kept; hostile and slow clients. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, renameSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { ShimPlan } from "../../apps/supervisor/src/os/shim/plan.ts";
import { Shim } from "../../apps/supervisor/src/os/shim/shim.ts";
import {
  encodeFrame,
  KIND,
  MAGIC,
  numberOf,
  TAG,
  takeFrames,
  VERSIONS,
} from "../../apps/supervisor/src/os/shim/wire.ts";
import type { Account } from "./account.ts";
import { childrenOf, descriptorsOf, isRunning, kill, numbersOf, statusOf } from "./proc.ts";
import { run, succeed, until } from "./program.ts";
import { buildShim, lineOf, ShimProgram } from "./shim-program.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let program: string;
let shim: ShimProgram;
let count = 0;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  program = await buildShim(stage.directory);
});
afterAll(() => stage.remove());
beforeEach(async () => {
  count += 1;
  shim = new ShimProgram(program, `${stage.directory}/shim${count}.sock`);
  await shim.start();
});
afterEach(() => ShimProgram.removeAll());

const sleeping = (change: Partial<ShimPlan> = {}): ShimPlan => lineOf("exec sleep 1000", alice, change);
const web = () => ({ path: `${stage.directory}/web${count}.sock`, uid: 0, gid: 0, mode: 0o660, backlog: 16 });
/** Connects to a socket; resolves when that is done or refused. */
const visit = async (path: string): Promise<Socket> => {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
};

/** A supervisor in another process: it launches, listens, and is killed. */
const SUPERVISOR = `const { Shim } = await import(process.argv[1]);
const shim = new Shim(process.argv[2], { lowest: 1, highest: 1 }, 10000);
const account = { uid: Number(process.argv[3]), gid: Number(process.argv[3]), groups: [] };
const plan = { shell: "/bin/sh", environment: new Map([["PATH", "/usr/bin:/bin"]]), directory: "/", account };
const dir = process.argv[4];
shim.listen("web", { path: dir + "/held.sock", uid: 0, gid: 0, mode: 0o660, backlog: 16 });
shim.hold("log", { path: dir + "/held.fifo", uid: 0, gid: 0, mode: 0o660 });
shim.note("record", "a record", (error) => { throw error; });
shim.launch("short", { ...plan, start: "sleep 0.2; exit 7" });
shim.launch("long", { ...plan, start: "exec sleep 1000" });
console.log("done");
setInterval(() => undefined, 1000);`;

test("after kill -9 of the supervisor the next one finds runs, exit codes, sockets, FIFOs and records", async () => {
  const client = new URL("../../apps/supervisor/src/os/shim/shim.ts", import.meta.url).pathname;
  const words = ["--input-type=module", "-e", SUPERVISOR, client, shim.path, `${alice.uid}`, stage.directory];
  const supervisor = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
  await once(supervisor.stdout, "data");
  supervisor.kill("SIGKILL");
  await once(supervisor, "exit");
  shim.disconnect();
  const visitor = await visit(`${stage.directory}/held.sock`);
  await shim.connect();
  const short = await shim.reaches("short", ({ state }) => state === "exited");
  expect(short.end).toMatchObject({ code: 7, signal: undefined });
  const found = new Map(shim.ask.list().map((each) => [`${each.kind} ${each.name}`, each]));
  expect([...found.keys()].sort()).toEqual(["fifo log", "note record", "run long", "run short", "socket web"]);
  expect(found.get("note record")).toMatchObject({ bytes: Buffer.from("a record") });
  expect(found.get("run long")).toMatchObject({ state: "launched", end: undefined });
  shim.ask.watch("web", 1);
  await until("the client that came meanwhile", () => shim.clients.get("web")?.watch?.client);
  visitor.destroy();
});

test("an exit is kept until it is acknowledged, and its name is free afterwards", async () => {
  shim.ask.launch("one", lineOf("exit 5", alice));
  await shim.reaches("one", ({ state }) => state === "exited");
  expect(() => shim.ask.launch("one", sleeping())).toThrow("EEXIST");
  await shim.connect();
  expect(shim.runs.get("one")?.end?.code).toBe(5);
  shim.forget("one");
  expect(shim.ask.list()).toEqual([]);
  await shim.up("one", sleeping());
  const hasty = new Shim(shim.path, VERSIONS, 10_000);
  const broken = new Promise((resolve) => {
    hasty.broken = resolve;
  });
  hasty.forget("one");
  hasty.list();
  hasty.close();
  expect(await broken).toMatchObject({ code: "EBUSY" });
  expect((await shim.kill("one")).end).toMatchObject({ code: undefined, signal: 9 });
});

test("a process that outlives its run becomes a child of the shim, which reaps it", async () => {
  const file = alice.write("orphan", "", 0o666);
  await shim.finish("parent", lineOf(`sleep 1000 & echo $! >${file}; exit 0`, alice));
  const [orphan = 0] = await until("the orphan", () => {
    const children = childrenOf(shim.pid);
    return children.length === 1 && children;
  });
  kill(orphan);
  await until("no zombie", () => childrenOf(shim.pid).length === 0);
});

test("readiness by a line or by sd_notify is reported, also to a supervisor that connects afterwards", async () => {
  const notifyPath = `${stage.directory}/notify${count}`;
  const line = lineOf("echo ready >&7; exec sleep 1000", alice, { readyDescriptor: 7 });
  const notify =
    "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET});";
  const environment = new Map([
    ["PATH", "/usr/bin:/bin"],
    ["NOTIFY_SOCKET", notifyPath],
  ]);
  await shim.up("line", line);
  await shim.up("silent", sleeping({ readyDescriptor: 7 }));
  const script = `exec perl -e '${notify} $s->send("STATUS=x"); $s->send("STATUS=READY=1"); sleep 1; $s->send("A=1\\nREADY=1"); sleep 1000'`;
  await shim.up("notify", lineOf(script, alice, { notifyPath, environment }));
  expect([statSync(notifyPath).uid, statSync(notifyPath).mode & 0o777]).toEqual([alice.uid, 0o600]);
  await shim.reaches("line", ({ ready }) => ready);
  await shim.reaches("notify", ({ ready }) => ready);
  expect(existsSync(notifyPath)).toBe(false);
  await shim.connect();
  const ready = [...shim.runs.values()].map((each) => [each.name, each.ready]);
  expect(new Map(ready as [string, boolean][])).toEqual(
    new Map([
      ["line", true],
      ["silent", false],
      ["notify", true],
    ]),
  );
});

test("the socket for sd_notify is removed when its run exits without readiness", async () => {
  const notifyPath = `${stage.directory}/notify${count}`;
  await shim.finish("unready", lineOf("exit 0", alice, { notifyPath }));
  expect(existsSync(notifyPath)).toBe(false);
});

test("the first client of a watched socket is reported once, with the number of the watch", async () => {
  shim.ask.listen("web", web());
  shim.ask.watch("web", 41);
  shim.ask.watch("web", 42);
  const visitor = await visit(web().path);
  await until("the client", () => shim.clients.get("web")?.watch?.client);
  expect(shim.clients.get("web")?.watch).toEqual({ number: 42, client: true });
  shim.ask.unwatch("web");
  shim.clients.clear();
  const other = await visit(web().path);
  expect(shim.ask.list()).toMatchObject([{ name: "web", watch: undefined }]);
  expect(shim.clients.size).toBe(0);
  visitor.destroy();
  other.destroy();
});

test("a second LISTEN restores a socket's queue, and a replaced socket refuses the clients that waited", async () => {
  const { socket, isNew } = shim.ask.listen("web", web());
  expect([isNew, lstatSync(web().path).mode & 0o777]).toEqual([true, 0o660]);
  const again = shim.ask.listen("web", web());
  expect([again.isNew, again.socket.inode]).toEqual([false, socket.inode]);
  expect(() => shim.ask.listen("web", { ...web(), path: `${stage.directory}/elsewhere` })).toThrow("EEXIST");
  const visitor = await visit(web().path);
  const refused = new Promise((resolve) => visitor.on("error", resolve));
  const replaced = shim.ask.listen("web", { ...web(), mode: 0 }, true);
  expect(await refused).toMatchObject({ code: "ECONNRESET" });
  expect([replaced.isNew, replaced.socket.inode === socket.inode, lstatSync(web().path).mode & 0o777]).toEqual([
    true,
    false,
    0,
  ]);
  shim.ask.release("socket", "web");
  expect([existsSync(web().path), shim.ask.list()]).toEqual([false, []]);
});

test("a file that has replaced a held socket stays when the socket is closed", () => {
  shim.ask.listen("web", web());
  writeFileSync(`${web().path}.new`, "");
  renameSync(`${web().path}.new`, web().path);
  shim.ask.release("socket", "web");
  expect(lstatSync(web().path).isFile()).toBe(true);
});

test("a socket that a program has shut down is described so", async () => {
  shim.ask.listen("web", web());
  const script = "exec perl -e 'shutdown(STDIN, 0); sleep 1000'";
  await shim.up("shutting", lineOf(script, alice, { descriptors: new Map([[0, { kind: "socket", name: "web" }]]) }));
  await until("the shut socket", () => shim.ask.list().some((each) => each.kind === "socket" && each.shut));
});

test("a program of another uid is not served, whatever the mode of the socket", async () => {
  chmodSync(shim.path, 0o666);
  const script = `my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print defined(getc $s) ? "served" : "closed"`;
  const { stdout } = await bob.run(["perl", "-MIO::Socket::UNIX", "-e", script, shim.path]);
  expect(stdout).toBe("closed");
});

test("a second shim cannot take the path of the first", async () => {
  const { code, stderr } = await run([program, shim.path]);
  expect([code, stderr]).toEqual([1, `dmhost-shim: ${shim.path}: Address already in use\n`]);
  expect(shim.ask.list()).toEqual([]);
});

/** Sends TERM until the process has ended: the shim may not have noticed yet that its supervisor is gone. */
const terminate = (pid: number): Promise<boolean> =>
  until("the end of the shim", () => {
    try {
      process.kill(pid, "SIGTERM");
      return false;
    } catch {
      return true;
    }
  });

test("TERM ends the shim only while no supervisor is connected", async () => {
  process.kill(shim.pid, "SIGTERM");
  await shim.finish("after", lineOf("exit 0", alice));
  expect(isRunning(shim.pid)).toBe(true);
  shim.disconnect();
  await terminate(shim.pid);
  expect(await shim.ended()).toEqual([0, null]);
  expect(existsSync(shim.path)).toBe(false);
});

test("SHUTDOWN ends the shim once no run is alive", async () => {
  await shim.up("alive", sleeping());
  expect(() => shim.ask.shutDown()).toThrow("EBUSY");
  await shim.kill("alive");
  shim.ask.shutDown();
  expect(await shim.ended()).toEqual([0, null]);
});

test("signals during a request do not interrupt it", async () => {
  process.kill(shim.pid, "SIGSTOP");
  const signals = `for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; kill -CHLD ${process.pid}; done; kill -CONT ${shim.pid}`;
  const signaller = spawn("/bin/sh", ["-c", signals]);
  expect(shim.ask.list()).toEqual([]);
  await once(signaller, "close");
});

test("a run with a death signal ends with the shim, and another lives on", async () => {
  const bound = await shim.up("bound", sleeping({ deathSignal: 9 }));
  const free = await shim.up("free", sleeping());
  process.kill(shim.pid, "SIGKILL");
  await shim.ended();
  await until("the end of the bound run", () => !isRunning(bound));
  expect(isRunning(free)).toBe(true);
  kill(free);
});

/** Sends bytes to the shim; resolves with what it answers before it closes, or with what the first answer is. */
const send = async (bytes: Buffer): Promise<Buffer> => {
  const socket = await visit(shim.path);
  socket.on("error", () => undefined);
  socket.write(bytes);
  const [answer] = (await Promise.race([once(socket, "data"), once(socket, "close").then(() => [])])) as [Buffer?];
  socket.destroy();
  return answer ?? Buffer.alloc(0);
};

test("malformed frames are refused or end their connection, and harm no other", async () => {
  const huge = Buffer.alloc(8);
  huge.writeUInt32LE(0xffff_ffff);
  expect(await send(huge)).toEqual(Buffer.alloc(0));
  const errnoOf = (answer: Buffer) => numberOf(takeFrames(answer).frames[0]?.fields ?? [], TAG.ERRNO);
  expect(errnoOf(await send(Buffer.alloc(4)))).toBe(71);
  expect(errnoOf(await send(encodeFrame(KIND.SHUTDOWN, [])))).toBe(71);
  expect(errnoOf(await send(Buffer.from([4, 0, 0, 0, KIND.LIST, 1, 2, 3])))).toBe(71);
  expect(shim.ask.list()).toEqual([]);
});

test("a supervisor without a common version learns the versions of the shim", async () => {
  const hello = encodeFrame(KIND.HELLO, [
    [TAG.MAGIC, MAGIC],
    [TAG.LOWEST, 1000],
    [TAG.HIGHEST, 1001],
  ]);
  const { fields } = takeFrames(await send(hello)).frames[0] ?? { fields: [] };
  expect([numberOf(fields, TAG.ERRNO), numberOf(fields, TAG.LOWEST)]).toEqual([93, VERSIONS.lowest]);
  expect(() => new Shim(shim.path, { lowest: 1000, highest: 1001 }, 1000)).toThrow("EPROTONOSUPPORT");
});

test("a newer connection for events ends the older one", async () => {
  const hello = encodeFrame(KIND.HELLO, [
    [TAG.MAGIC, MAGIC],
    [TAG.LOWEST, 1],
    [TAG.HIGHEST, 1],
    [TAG.EVENTS, 1],
  ]);
  const older = await visit(shim.path);
  older.resume().write(hello);
  const newer = await visit(shim.path);
  newer.resume().write(hello);
  await once(older, "close");
  newer.destroy();
});

test("a client that does not read its events delays no request, and gets the last state of each run at the end", async () => {
  shim.disconnect();
  const slow = await visit(shim.path);
  slow.pause();
  slow.write(
    encodeFrame(KIND.HELLO, [
      [TAG.MAGIC, MAGIC],
      [TAG.LOWEST, 1],
      [TAG.HIGHEST, 1],
      [TAG.EVENTS, 1],
    ]),
  );
  const requests = new Shim(shim.path, VERSIONS, 10_000);
  const many = 1500;
  const name = (index: number): string => `${"n".repeat(400)}${index}`;
  for (let index = 0; index < many; index += 1) requests.launch(name(index), lineOf("exit 1", alice));
  await until(
    "the end of all",
    () => requests.list().every((each) => each.kind === "run" && each.state === "exited"),
    60,
  );
  let received: Buffer = Buffer.alloc(0);
  const last = new Map<string, number | undefined>();
  slow.on("data", (chunk: Buffer) => {
    const { frames, rest } = takeFrames(Buffer.concat([received, chunk]));
    received = rest;
    for (const { fields } of frames) {
      const key = fields.find(({ tag }) => tag === TAG.NAME)?.value.toString();
      if (key !== undefined) last.set(key, numberOf(fields, TAG.EXIT_CODE));
    }
  });
  slow.resume();
  await until("all exits", () => last.size === many && [...last.values()].every((code) => code === 1));
  slow.destroy();
  requests.close();
});

test("where descriptors run out, requests fail with EMFILE and a supervisor can still connect", async () => {
  // With CAP_SYS_RESOURCE the shim would raise its limit.
  const through = ["setpriv", "--bounding-set", "-sys_resource", "prlimit", "--nofile=128:128"];
  const limited = new ShimProgram(program, `${stage.directory}/limited.sock`, through);
  await limited.start();
  const one = (index: number) => ({ ...web(), path: `${stage.directory}/many${index}.sock` });
  let held = 0;
  expect(() => {
    for (; held < 200; held += 1) limited.ask.listen(`many ${held}`, one(held));
  }).toThrow("EMFILE");
  expect(held).toBeGreaterThan(50);
  await limited.connect();
  expect(limited.ask.list()).toHaveLength(held);
  expect(() => limited.ask.launch("none", sleeping({ readyDescriptor: 7 }))).toThrow("EMFILE");
  expect(limited.ask.list()).toHaveLength(held);
  for (let index = 0; index < held; index += 1) limited.ask.release("socket", `many ${index}`);
  await limited.finish("one", lineOf("exit 0", alice));
  await limited.remove();
});

test("the shim keeps no descriptor of a run that has ended", async () => {
  const before = descriptorsOf(shim.pid).size;
  for (let index = 0; index < 20; index += 1)
    await shim.finish(`run ${index}`, lineOf("echo >&7", alice, { readyDescriptor: 7 }));
  await shim.refusal("failing", sleeping({ directory: "/no-such", readyDescriptor: 7 }));
  expect(descriptorsOf(shim.pid).size).toBe(before);
});

/** The capabilities of the supervisor's container (docs/explanation/security.md#containers). */
const CONTAINER = "-all,+setuid,+setgid,+setpcap,+kill,+chown,+sys_chroot";

test("with the capabilities of the container the shim holds, publishes and launches into a jail", async () => {
  const through = ["setpriv", "--inh-caps=-all", `--bounding-set=${CONTAINER}`, "--"];
  const confined = new ShimProgram(program, `${stage.directory}/confined.sock`, through);
  await confined.start();
  const log = { path: `${stage.directory}/confined.fifo`, uid: alice.uid, gid: 0, mode: 0o660 };
  confined.ask.hold("log", log);
  expect(confined.ask.listen("web", { ...web(), gid: bob.gid }).isNew).toBe(true);
  alice.makeDirectory("jail/bin");
  await succeed("cp", "/bin/busybox", `${alice.home}/jail/bin/sh`);
  await succeed("ln", "-s", "sh", `${alice.home}/jail/bin/sleep`);
  const notifyPath = `${stage.directory}/notify${count}`;
  const pid = await confined.up(
    "jailed",
    lineOf("exec sleep 1000", alice, {
      jail: { path: `${alice.home}/jail`, owner: alice.uid },
      notifyPath,
      descriptors: new Map([
        [0, { kind: "input", name: "log" }],
        [1, { kind: "fifo", name: "log" }],
        [3, { kind: "socket", name: "web" }],
      ]),
    }),
  );
  expect([new Set(numbersOf(pid, "Uid")), statusOf(pid).get("CapPrm")]).toEqual([new Set([alice.uid]), "0".repeat(16)]);
  expect((await confined.kill("jailed")).end).toMatchObject({ signal: 9 });
  await confined.remove();
  // The next shim finds the FIFO of the account, which it may not chmod.
  await confined.start();
  confined.ask.hold("log", log);
  await confined.remove();
});

test("as process 1 of a pid namespace the shim launches, reaps and ends at TERM", async () => {
  const through = ["unshare", "--pid", "--fork", "--kill-child"];
  const first = new ShimProgram(program, `${stage.directory}/first.sock`, through);
  await first.start();
  const [pid = 0] = childrenOf(first.pid);
  await first.finish("parent", lineOf("sleep 0.1 & exit 3", alice));
  await until("no child of process 1", () => childrenOf(pid).length === 0);
  first.disconnect();
  await terminate(pid);
  expect(await first.ended()).toEqual([0, null]);
});
