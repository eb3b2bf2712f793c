/** The shim as process 1 of a container; namespaces take the place of an engine's. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants as files, mkdirSync, openSync, readSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { ContainerShim } from "../../apps/supervisor/src/os/shim/container-shim.ts";
import type { ShimLink } from "../../apps/supervisor/src/os/shim/link.ts";
import type { ShimRun } from "../../apps/supervisor/src/os/shim/objects.ts";
import type { ShimPlan } from "../../apps/supervisor/src/os/shim/plan.ts";
import { endShim, startedShim } from "../../apps/supervisor/src/os/shim/started-shim.fake.ts";
import type { Account } from "./account.ts";
import { childrenOf, isRunning, kill } from "./proc.ts";
import { CHECKOUT, until } from "./program.ts";
import { lineOf } from "./shim-program.ts";
import { Stage } from "./stage.ts";

const { SIGKILL, SIGTERM } = constants.signals;
const TOKEN = "0123456789abcdef0123456789abcdef";

let stage: Stage;
let alice: Account;
let count = 0;
let directory: string;
let link: ShimLink;
let engine: ChildProcess;
let container: Container;

/** A container's shim with what it has reported. */
class Container {
  readonly shim: ContainerShim;
  readonly runs = new Map<string, ShimRun>();
  token: string | undefined;
  isGone = false;

  constructor(to: ShimLink) {
    this.shim = new ContainerShim(to, "alice/web:1", {
      joined: (token) => {
        this.token = token;
      },
      run: (run) => this.runs.set(run.name, run),
      gone: () => {
        this.isGone = true;
      },
    });
  }

  reaches(name: string, isThere: (run: ShimRun) => boolean): Promise<ShimRun> {
    return until(`the run ${name}`, () => {
      const run = this.runs.get(name);
      return run && isThere(run) && run;
    });
  }
  async up(name: string, plan: ShimPlan): Promise<ShimRun> {
    const errors: unknown[] = [];
    this.shim.launch(name, plan, (error) => errors.push(error));
    const run = await until(`the program of ${name}`, () => {
      const now = this.runs.get(name);
      return errors.length > 0 || (now && now.state !== "launching" && now);
    });
    if (run === true) throw errors[0];
    return run;
  }
}

const descendantsOf = (pid: number): readonly number[] =>
  childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
/** Processes of the container: the first is its shim. */
const processes = (): readonly number[] => descendantsOf(engine.pid ?? 0);

/** Starts the container's first process in new namespaces, as its account. */
const startContainer = (): void => {
  const ids = ["--reuid", String(alice.uid), "--regid", String(alice.gid), "--clear-groups"];
  const account = ["setpriv", ...ids, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"];
  engine = spawn(
    "unshare",
    [
      ...["--pid", "--fork", "--kill-child", "--mount-proc", "--net", ...account],
      ...[join(CHECKOUT, "shim/dmhost-shim"), "-j", join(directory, "meet.sock")],
    ],
    { stdio: ["ignore", "inherit", "inherit"], env: { PATH: "/usr/bin:/bin", DMHOST_TOKEN: TOKEN } },
  );
};

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
});
afterAll(() => stage.remove());
beforeEach(async () => {
  count += 1;
  directory = join(stage.directory, `container${count}`);
  mkdirSync(directory);
  link = await startedShim(directory);
  const own = { uid: alice.uid, gid: alice.gid, mode: 0o600 };
  link.listen("meet", { path: join(directory, "meet.sock"), backlog: 1, ...own });
  link.listen("site", { path: join(directory, "site.sock"), backlog: 16, uid: 0, gid: 0, mode: 0o660 });
  link.requests.hold("log", { path: join(directory, "log"), uid: 0, gid: 0, mode: 0o600 });
  const came = new Promise<void>((resolve) => link.awaitClient("meet", resolve));
  startContainer();
  await came;
  const { uid } = link.requests.admit("alice/web:1", "meet");
  expect(uid).toBe(alice.uid);
  link.requests.release("socket", "meet");
  link.requests.give("alice/web:1", "socket", "site");
  link.requests.give("alice/web:1", "fifo", "log");
  container = new Container(link);
  await until("its token", () => container.token);
  container.shim.greet();
});
afterEach(async () => {
  const ended = engine.exitCode === null && engine.signalCode === null ? once(engine, "exit") : undefined;
  endShim(link);
  // The container ends with the shim outside.
  await ended;
});

/** A line of sh that runs in the container, with the log as its output. */
const logged = (line: string, change: Partial<ShimPlan> = {}): ShimPlan => {
  const fifo = { kind: "fifo", name: "log" } as const;
  return lineOf(line, undefined, { descriptors: new Map([1, 2].map((fd) => [fd, fifo] as const)), ...change });
};
/** The lines in the log so far; at least one. */
const lines = (): Promise<string[]> => {
  const fd = openSync(join(directory, "log"), files.O_RDONLY | files.O_NONBLOCK);
  const bytes = Buffer.alloc(65_536);
  return until("a line of the log", () => {
    const length = readSync(fd, bytes);
    return length > 0 && bytes.toString("utf8", 0, length).split("\n").slice(0, -1);
  });
};

test("it proves itself by its token, and runs a program with the held log, whose exit is kept", async () => {
  expect(container.token).toBe(TOKEN);
  await container.up("web:1", logged('echo "I am $(id -u), $PPID is my parent"; exit 7'));
  expect(await container.reaches("web:1", ({ state }) => state === "exited")).toMatchObject({
    end: { code: 7 },
    left: false,
  });
  expect(await lines()).toEqual([`I am ${alice.uid}, 1 is my parent`]);
  container.shim.forget("web:1");
});

test("the program gets the held socket, whose clients wait while it is launched again", async () => {
  const socket = { kind: "socket", name: "site" } as const;
  const answer = `perl -MSocket -e 'accept(C, STDIN); syswrite C, "one\\n"'`;
  const visitor = spawn("perl", [
    "-MIO::Socket::UNIX",
    "-e",
    "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; print scalar <$s>",
    join(directory, "site.sock"),
  ]);
  visitor.stdout.setEncoding("utf8");
  // Now: Node drops what nobody has read when the process ends.
  const said = once(visitor.stdout, "data");
  await container.up("web:1", lineOf(answer, undefined, { descriptors: new Map([[0, socket]]) }));
  expect((await said)[0]).toBe("one\n");
});

test("a launch that fails names its stage, and one that is impossible the reason", async () => {
  expect(await container.up("web:1", logged("true", { directory: "/nonexistent" }))).toMatchObject({
    failure: { stage: "entering /nonexistent" },
  });
  const plan = lineOf("true", undefined, { descriptors: new Map([[0, { kind: "socket", name: "none" }]]) });
  await expect(container.up("web:2", plan)).rejects.toThrow("ENOENT");
});

test("a run that is killed is followed by itself, once", async () => {
  await container.up("web:1", logged("exec sleep 1000", { again: 1 }));
  container.shim.signal("web:1", SIGKILL, false);
  const { next } = await container.reaches("web:1", ({ state }) => state === "exited");
  expect(next).toBeDefined();
  await container.reaches("web:2", ({ state }) => state === "launched");
  container.shim.signal("web:2", SIGKILL, false);
  expect(await container.reaches("web:2", ({ state }) => state === "exited")).toMatchObject({ next: undefined });
});

test("processes that a run leaves are known, and end by a signal to all", async () => {
  await container.up("web:1", logged("setsid sleep 1000 & exit 0", { again: 1 }));
  expect(await container.reaches("web:1", ({ state }) => state === "exited")).toMatchObject({
    left: true,
    next: undefined,
  });
  container.shim.signal("web:1", SIGKILL, true);
  await container.reaches("web:1", ({ left }) => !left);
  expect(processes()).toHaveLength(1);
});

test("the next supervisor finds the container, and exits that nobody has seen", async () => {
  await container.up("web:1", logged("exec sleep 1000"));
  await container.up("web:2", logged("exec sleep 1000"));
  link.close();
  const [, first = 0] = processes();
  kill(first);
  link = await startedShim(directory);
  expect(link.foundContainers()).toMatchObject([{ name: "alice/web:1", uid: alice.uid, gone: false }]);
  container = new Container(link);
  container.shim.greet();
  const states = async (name: string) => (await container.reaches(name, () => true)).state;
  expect([await states("web:1"), await states("web:2")].sort()).toEqual(["exited", "launched"]);
});

test("a container that ends while no supervisor is there is reported to the next one", async () => {
  link.close();
  const ended = once(engine, "exit");
  for (const pid of processes().slice(0, 1)) kill(pid);
  await ended;
  link = await startedShim(directory);
  container = new Container(link);
  await until("its end", () => container.isGone);
});

test("a program of the container can neither stop, trace, read nor end its first process", async () => {
  const attack = [
    "kill -9 1; kill -STOP 1; kill -TERM 1; kill -HUP 1; kill -INT 1",
    "cat /proc/1/environ >/dev/null 2>&1 && echo environment",
    "ls /proc/1/fd >/dev/null 2>&1 && echo descriptors",
    "ls -l /proc/1/exe >/dev/null 2>&1 && echo program",
    `perl -e 'print "traced\\n" if syscall(101, 16, 1, 0, 0) == 0'`,
    "echo done",
  ];
  await container.up("web:1", logged(attack.join("; ")));
  await container.reaches("web:1", ({ state }) => state === "exited");
  expect(await lines()).toEqual(["done"]);
  await container.up("web:2", logged("echo still here"));
  expect(await lines()).toEqual(["still here"]);
});

test("an engine that stops the container terminates its programs, and none follows", async () => {
  const handler = 'trap "echo bye; exit 0" TERM; while :; do sleep 0.05; done';
  await container.up("web:1", logged(handler, { again: 1 }));
  process.kill(processes()[0] ?? 0, SIGTERM);
  await until("its end", () => container.isGone);
  expect(await lines()).toContain("bye");
  expect(container.runs.has("web:2")).toBe(false);
});

test("it ends with the shim outside, and at its supervisor's request, and all of its processes with it", async () => {
  await container.up("web:1", logged("setsid sleep 1000 & exec sleep 1000"));
  const all = processes();
  expect(all.length).toBeGreaterThan(2);
  container.shim.close();
  await until("the end of all", () => all.every((pid) => !isRunning(pid)));
});
