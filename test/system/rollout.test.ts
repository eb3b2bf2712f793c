/** Instances that share a socket, and restarts that lose no request. */
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import type { DaemonList } from "@dmhost/contract";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { askLine, lineServer, untilAccepted } from "./line-server.ts";
import { isRunning, processesOf, ticksOf } from "./proc.ts";
import { run, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let page: string;
let serve: ReturnType<typeof lineServer>;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php if ($_GET['slow'] ?? 0) usleep(600000); echo getmypid();");
  serve = lineServer(alice);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  const forever = "export PHP_FCGI_MAX_REQUESTS = 0";
  alice.writeConf("php", "start = exec php-cgi -q", "listen = fastcgi", "ready-after = 0.2", forever);
  alice.writeConf("line", serve("3"), "listen = systemd", "ready-after = 0.2");
  alice.writeConf("pair", serve("3"), "listen = http", "instances = 2", "ready-after = 0.2");
  await supervisor.start();
  for (const name of ["php", "line", "pair"]) await supervisor.reaches(idOf(name), "running");
});
afterAll(() => stage.remove());
beforeEach(async () => {
  alice.writeConf("line", serve("3"), "listen = systemd", "ready-after = 0.2");
  await supervisor.rescan();
});

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const pidsOf = async (name: string): Promise<number[]> =>
  (await supervisor.status(idOf(name))).instances.map(({ pid }) => pid).sort((a, b) => a - b);

/** Sends requests one after another until `work` is done; returns the answers. Rejects when a request fails. */
const during = async (ask: () => Promise<unknown>, work: () => Promise<unknown>): Promise<unknown[]> => {
  const answers: unknown[] = [];
  let going = true;
  const polling = (async () => {
    while (going) answers.push(await ask());
  })();
  try {
    await work();
  } finally {
    going = false;
  }
  await polling;
  return answers;
};

test("a restart of php-cgi refuses or breaks no request, including a slow request in progress", async () => {
  const before = await supervisor.status(idOf("php"));
  const slow = askForPage(socketOf("php"), page, "slow=1");
  const answers = await during(
    () => askForPage(socketOf("php"), page),
    async () => expect(await supervisor.act("restart", idOf("php"))).toMatchObject({ ok: true }),
  );
  expect(await slow).toBe(String(before.pid));
  const after = await supervisor.status(idOf("php"));
  expect(after).toMatchObject({ state: "running", respawns: 0 });
  expect(isRunning(before.pid)).toBe(false);
  expect(answers).toContain(String(after.pid));
});

test("a program that does not catch TERM finishes its request before a restart terminates it", async () => {
  const before = await supervisor.status(idOf("line"));
  const slow = askLine(socketOf("line"), "slow");
  await during(
    () => askLine(socketOf("line")),
    async () => expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true),
  );
  expect((await slow).pid).toBe(before.pid);
  expect(isRunning(before.pid)).toBe(false);
});

test("a program whose TERM handler exits at once finishes its request before a restart terminates it", async () => {
  alice.writeConf("line", serve("3", "no", "abrupt"), "listen = systemd", "ready-after = 0.2");
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  const { pid } = await supervisor.status(idOf("line"));
  const slow = askLine(socketOf("line"), "slow");
  await untilAccepted(pid);
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  expect(await slow).toEqual({ pid, word: "abrupt" });
});

test("a process that always serves a client gets TERM when drain has passed, and can then finish its request", async () => {
  const lines = [serve("3", "no", "graceful"), "listen = systemd", "ready-after = 0.2", "drain = 1s"];
  alice.writeConf("line", ...lines);
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  const { pid } = await supervisor.status(idOf("line"));
  const lingering = askLine(socketOf("line"), "linger");
  await untilAccepted(pid);
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  expect(await lingering).toEqual({ pid, word: "graceful" });
});

test("a restart by the next supervisor lets an adopted process finish its request", async () => {
  const { pid } = await supervisor.reaches(idOf("line"), "running");
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect((await supervisor.status(idOf("line"))).pid).toBe(pid);
  const slow = askLine(socketOf("line"), "slow");
  await untilAccepted(pid);
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  expect((await slow).pid).toBe(pid);
});

test.each([
  ["descriptors", 9000, 0],
  ["processes", 0, 400],
])(
  "draining a run with very many %s costs the supervisor little CPU time and delays no other restart",
  async (_, files, children) => {
    const program = alice.write(
      "crowd.pl",
      `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new_from_fd(3, "r+"); my @all;
for (1..${files}) { open(my $f, "<", "/dev/null") or last; push @all, $f; }
for (1..${children}) { fork or do { sleep 1000; exit } }
open(my $done, ">", "$ENV{HOME}/crowd"); close $done;
my $c = $s->accept; $c->syswrite("$$ in hand\n"); sleep 1000;`,
    );
    const lines = [`start = exec perl ${program}`, "listen = systemd", "ready-after = 0.2", "drain = 10m"];
    rmSync(join(alice.home, "crowd"), { force: true });
    alice.writeConf("line", serve("3"), "listen = systemd", "ready-after = 0.2", "drain = 10m");
    await supervisor.act("restart", idOf("line"));
    alice.writeConf("crowd", ...lines, `limit-nofile = ${files + 100}`);
    await supervisor.rescan();
    await until("the program to have opened everything", () => existsSync(join(alice.home, "crowd")));
    const client = createConnection(socketOf("crowd"));
    try {
      await once(client, "data");
      const restart = supervisor.act("restart", idOf("crowd"));
      await until("the old instance to be draining", async () =>
        (await supervisor.status(idOf("crowd"))).instances.some(({ state }) => state === "stopping"),
      );
      const [then, ticks] = [performance.now(), ticksOf(supervisor.pid)];
      await new Promise((resolve) => setTimeout(resolve, 2500));
      // A tick is 10 ms. Client probes may take 5 % and socket snapshots 10 % of the time, on any machine, and the rest takes
      // less than 3 % of it, on a slow one more; unbounded, they take all of it.
      expect(((ticksOf(supervisor.pid) - ticks) * 10) / (performance.now() - then)).toBeLessThan(0.6);
      expect(await supervisor.act("restart", idOf("line"))).toMatchObject({ ok: true });
      await supervisor.act("stop", idOf("crowd"));
      await restart;
    } finally {
      client.destroy();
      await supervisor.act("stop", idOf("crowd"));
      rmSync(join(alice.home, alice.conf("crowd")));
      await supervisor.rescan();
    }
  },
);

test("a restart lets a process finish the request of a client in another network namespace, such as a container", async () => {
  const before = await supervisor.reaches(idOf("line"), "running");
  const ask = 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "slow\n"; $s->flush; print <$s>';
  const slow = run(["unshare", "--net", "perl", "-MIO::Socket::UNIX", "-e", ask, socketOf("line")]);
  await untilAccepted(before.pid);
  expect((await supervisor.act("restart", idOf("line"))).ok).toBe(true);
  expect((await slow).stdout).toBe(`${before.pid} old\n`);
});

test("a restart starts the new process before the old one ends, unless rolling=no", async () => {
  for (const rolling of ["yes", "no"]) {
    alice.writeConf("line", serve("3"), "listen = systemd", `rolling = ${rolling}`, "ready-after = 0.3");
    const old = await supervisor.status(idOf("line"));
    const restart = supervisor.act("restart", idOf("line"));
    let most = 0;
    const done = restart.then(() => true);
    while (!(await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 5))]))) {
      const lives = (await supervisor.status(idOf("line"))).instances.filter(({ pid }) => pid > 0 && isRunning(pid));
      most = Math.max(most, lives.length);
    }
    expect((await restart).ok).toBe(true);
    expect([rolling, most]).toEqual([rolling, rolling === "yes" ? 2 : 1]);
    expect((await supervisor.status(idOf("line"))).pid).not.toBe(old.pid);
  }
});

test("a restart whose candidate exits fails with the reason, and the old process loses no client", async () => {
  const before = await supervisor.reaches(idOf("line"), "running");
  alice.writeConf("line", "start = exec sh -c 'sleep 0.05; exit 7'", "listen = systemd", "ready-after = 0.2");
  const reason = /exited with code 7/;
  const answers = await during(
    () => askLine(socketOf("line")),
    async () => {
      const outcome = await supervisor.act("restart", idOf("line"));
      expect(outcome).toMatchObject({ ok: false, reason: expect.stringMatching(reason) });
      expect(outcome.advice).toMatch(/continues as it was/);
    },
  );
  expect(answers.length).toBeGreaterThan(0);
  const after = await until("the candidate to be gone", async () => {
    const status = await supervisor.status(idOf("line"));
    return status.instances.length === 1 && status;
  });
  expect(after).toMatchObject({ state: "running", pid: before.pid, configChanged: true, respawns: before.respawns });
  // The log is written asynchronously.
  await until("the rollback in the log", () =>
    supervisor.log().some(({ event, daemon }) => event === "rollback" && daemon === idOf("line")),
  );

  // After a crash the daemon starts as it was: the new file is not in force.
  process.kill(before.pid, "SIGKILL");
  await supervisor.reaches(idOf("line"), "running", before.pid);
  expect((await askLine(socketOf("line"))).word).toBe("old");
});

test.each([
  ["descriptor", "fd:7", "7"],
  ["datagram", "notify", "notify"],
])("a daemon is running from the moment at which it reports readiness by a %s", async (_, ready, tell) => {
  alice.writeConf("line", serve("3", tell, "new"), "listen = systemd", `ready = ${ready}`);
  expect(await supervisor.act("restart", idOf("line"))).toMatchObject({ ok: true });
  expect((await askLine(socketOf("line"))).word).toBe("new");
  await supervisor.act("stop", idOf("line"));
  const started = await supervisor.up(idOf("line"));
  expect(started.state).toBe("running");
});

test.each([
  ["counts when it ends within 4 KiB", 4000, true],
  ["does not count when it is longer than 4 KiB", 5000, false],
])("a readiness line on a descriptor %s", async (_, length, isReady) => {
  const write = `head -c ${length} /dev/zero | tr '\\0' x >&7; echo >&7`;
  alice.writeConf(
    "teller",
    `start = ${write}; exec sleep 1000`,
    "ready = fd:7",
    "ready-timeout = 1s",
    "autostart = no",
  );
  await supervisor.rescan();
  const { ok, reason } = await supervisor.act("start", idOf("teller"));
  expect([ok, reason]).toEqual([isReady, isReady ? "" : expect.stringMatching(/not ready after 1s|SIGPIPE/)]);
  await supervisor.act("stop", idOf("teller"));
});

test("a stop during a restart ends both processes; the stop succeeds and the restart fails with the reason", async () => {
  alice.writeConf("line", serve("3"), "listen = systemd", "ready = notify");
  const restart = supervisor.act("restart", idOf("line"));
  await until("two processes", async () => (await pidsOf("line")).filter((pid) => pid > 0).length === 2);
  const pids = await pidsOf("line");
  expect((await supervisor.act("stop", idOf("line"))).ok).toBe(true);
  expect(await restart).toMatchObject({ ok: false, reason: expect.stringMatching(/a stop was requested meanwhile/) });
  expect(pids.filter(isRunning)).toEqual([]);
  alice.writeConf("line", serve("3"), "listen = systemd", "ready-after = 0.2");
  await supervisor.up(idOf("line"));
});

test("instances of a daemon share its socket, and a killed instance is started again alone", async () => {
  const [first = 0, second = 0] = await pidsOf("pair");
  expect([first, second].every(isRunning)).toBe(true);
  const seen = new Set<number>();
  await until("answers from both instances", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => askLine(socketOf("pair"))));
    for (const { pid } of answers) seen.add(pid);
    return seen.has(first) && seen.has(second);
  });
  process.kill(first, "SIGKILL");
  const after = await until("a new process for the killed instance", async () => {
    const pids = await pidsOf("pair");
    return !pids.includes(first) && !pids.includes(0) && pids;
  });
  expect(after).toContain(second);
  expect((await supervisor.status(idOf("pair"))).respawns).toBe(1);
});

test("a socket that a daemon binds is published even if the daemon itself is its first client", async () => {
  const client =
    'my $s; until ($s = IO::Socket::UNIX->new(Peer => $ENV{DM_SOCKET})) { select undef, undef, undef, 0.02 } print $s "slow\\n"; <$s>';
  const command = (word: string): string => serve("$DM_SOCKET", "no", word).replace("start = exec ", "");
  const script = alice.write("warm.sh", `${command("new")} &\nperl -MIO::Socket::UNIX -e '${client}'\nwait\n`);
  alice.writeConf("warm", `start = exec ${command("old")}`, "listen = path", "ready-after = 1");
  await supervisor.rescan();
  await supervisor.reaches(idOf("warm"), "running");
  await until("an answer from the old process", () => askLine(socketOf("warm")).catch(() => undefined));
  alice.writeConf("warm", `start = exec sh ${script}`, "listen = path", "ready-after = 1");
  expect(await supervisor.act("restart", idOf("warm"))).toMatchObject({ ok: true });
  expect((await askLine(socketOf("warm"))).word).toBe("new");
});

test("scale starts or stops only the instances it must, and the next supervisor keeps their number", async () => {
  const before = await pidsOf("pair");
  expect((await supervisor.scale(idOf("pair"), 4)).ok).toBe(true);
  const four = await pidsOf("pair");
  expect(four).toHaveLength(4);
  expect(four).toEqual(expect.arrayContaining(before));

  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect(await pidsOf("pair")).toEqual(four);

  expect((await supervisor.scale(idOf("pair"), 1)).ok).toBe(true);
  await until("one instance to be left", async () => (await supervisor.status(idOf("pair"))).instances.length === 1);
  const [left = 0] = await pidsOf("pair");
  expect(before).toContain(left);
  expect(processesOf(alice.uid)).not.toEqual(expect.arrayContaining(four.filter((pid) => pid !== left)));

  await supervisor.act("stop", idOf("pair"));
  await supervisor.up(idOf("pair"));
  expect(await pidsOf("pair")).toHaveLength(2);
  for (const size of [0, 65, 1.5]) {
    expect(
      (await supervisor.ask("POST", `/v1/daemons/${encodeURIComponent(idOf("pair"))}/scale`, { instances: size }))
        .status,
    ).toBe(400);
  }
});

test("a run by once is not repeated, and pause and continue stop and resume it", async () => {
  alice.writeConf("task", "start = exec sleep 1000", "autostart = no");
  await supervisor.rescan();
  expect(await supervisor.act("once", idOf("task"))).toMatchObject({ ok: true });
  const { pid } = await supervisor.status(idOf("task"));
  expect(await supervisor.act("pause", idOf("task"))).toMatchObject({ ok: true, daemon: { state: "paused", pid } });
  expect(await supervisor.act("continue", idOf("task"))).toMatchObject({ ok: true, daemon: { state: "running", pid } });
  process.kill(pid, "SIGKILL");
  expect(await supervisor.reaches(idOf("task"), "stopped")).toMatchObject({ desiredState: "down", respawns: 0 });
  expect(await supervisor.act("pause", idOf("task"))).toMatchObject({ ok: false });

  await supervisor.up(idOf("task"));
  await supervisor.act("pause", idOf("task"));
  expect(await supervisor.act("stop", idOf("task"))).toMatchObject({ ok: true });
});

test("exit stops a daemon and unloads it until the next rescan", async () => {
  const { pid } = await supervisor.up(idOf("task"));
  expect(await supervisor.act("exit", idOf("task"))).toMatchObject({ ok: true, daemon: { state: "stopped" } });
  expect(isRunning(pid)).toBe(false);
  const isListed = async (name = "task") =>
    ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons.some(({ id }) => id === idOf(name));
  expect(await isListed()).toBe(false);
  // A change in its directory does not load it again.
  alice.writeConf("another", "start = exec sleep 1000");
  await until("the other daemon to be loaded", () => isListed("another"));
  expect(await isListed()).toBe(false);
  expect((await supervisor.rescan()).found).toEqual([idOf("task")]);
  expect(await isListed()).toBe(true);
});
