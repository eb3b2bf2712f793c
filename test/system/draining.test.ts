/** Draining: a replaced or scaled-down process, or a busy pool, finishes its requests within `drain` before it gets TERM. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { askLine, lineServer } from "./line-server.ts";
import { childrenOf, descriptorsOf, isRunning, statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let serve: ReturnType<typeof lineServer>;
let pool: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  serve = lineServer(alice);
  const master = alice.write(
    "pool.pl",
    'for (1..3) { fork or do { $ENV{LISTEN_PID} = $$; exec "perl", @ARGV } } 1 while wait > 0;',
  );
  // Its workers exit at once on TERM, even during a request.
  pool = serve("3", "no", "abrupt").replace("exec perl", `exec perl ${master}`);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const FAST = ["listen = systemd", "ready-after = 0.2", "stop-timeout = 1h"];
const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
/** A file for which a request of `wait PATH` waits. */
const gate = (name: string): { path: string; open: () => void } => {
  const path = join(alice.home, `${name}.gate`);
  rmSync(path, { force: true });
  return { path, open: () => void alice.write(`${name}.gate`, "") };
};
const isStopped = (pid: number): boolean => {
  try {
    return statusOf(pid).get("State")?.startsWith("T") === true;
  } catch {
    return false;
  }
};
const socketsOf = (pid: number): number => {
  try {
    return [...descriptorsOf(pid).values()].filter((each) => each.startsWith("socket:")).length;
  } catch {
    // Perl is loading its modules: a descriptor was closed after the listing.
    return 0;
  }
};
const untilOneAccepted = (pids: readonly number[]): Promise<number> =>
  until("an accepted connection", () => pids.find((pid) => socketsOf(pid) > 1));
/** Makes a daemon and waits until it runs; returns the pids of its main process and of its children. */
const running = async (name: string, children: number, ...lines: string[]): Promise<[number, ...number[]]> => {
  alice.writeConf(name, ...lines);
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf(name), "running");
  return [
    pid,
    ...(await until("the children of the main process", () => childrenOf(pid).length === children && childrenOf(pid))),
  ];
};

/** Lets this many clients send requests one after another until `work` is done. Rejects when a request fails. */
const during = async <T>(clients: number, ask: () => Promise<unknown>, work: () => Promise<T>): Promise<T> => {
  let going = true;
  const polling = Array.from({ length: clients }, async () => {
    while (going) await ask();
  });
  try {
    return await Promise.race([
      work(),
      Promise.all(polling).then(() => Promise.reject(new Error("the clients ended before the work"))),
    ]);
  } finally {
    going = false;
    await Promise.allSettled(polling);
    await Promise.all(polling);
  }
};

/** Starts a pool with one request that lasts until the gate opens; returns its pids, the busy worker and the request. */
const busyPool = async (name: string, ...more: string[]) => {
  const pids = await running(name, 3, pool, ...FAST, ...more);
  const { path, open } = gate(name);
  const long = askLine(socketOf(name), `wait ${path}`);
  const worker = await untilOneAccepted(pids.slice(1));
  return { pids, long, open, worker };
};
/** A request of 0.6 s: with three such clients, each worker of the old and the new pool is idle now and then. */
const load = (name: string) => (): Promise<unknown> => askLine(socketOf(name), "slow");
const othersStopped = (pids: readonly number[], worker: number): Promise<unknown> =>
  until("the idle workers to be stopped by SIGSTOP", () =>
    pids.slice(1).every((pid) => pid === worker || isStopped(pid)),
  );
const untilDraining = async (name: string, answer: Promise<Outcome>): Promise<void> => {
  const isLeaving = async () =>
    (await supervisor.status(idOf(name))).instances.some(({ state }) => state === "stopping");
  await Promise.race([until("a draining instance", isLeaving), answer]);
};
/** In ms: longer than a supervisor that ignores `drain` would wait. */
const A_WHILE = 2500;

test("a program whose TERM handler exits at once finishes a long request when it is replaced", async () => {
  const [pid] = await running("one", 0, serve("3", "no", "abrupt"), ...FAST, "drain = 10m");
  const { path, open } = gate("one");
  const long = askLine(socketOf("one"), `wait ${path}`);
  await untilOneAccepted([pid]);
  const restart = supervisor.act("restart", idOf("one"));
  await untilDraining("one", restart);
  await sleep(A_WHILE);
  open();
  expect(await long).toEqual({ pid, word: "abrupt" });
  expect(await restart).toMatchObject({ ok: true });
  expect(isRunning(pid)).toBe(false);
});

test("a pool under load whose workers exit at once on TERM finishes a long request, and no other request is lost", async () => {
  const { pids, worker, long, open } = await busyPool("pool", "drain = 10m");
  await during(3, load("pool"), async () => {
    const restart = supervisor.act("restart", idOf("pool"));
    await untilDraining("pool", restart);
    await sleep(A_WHILE);
    open();
    expect((await long).pid).toBe(worker);
    expect(await restart).toMatchObject({ ok: true });
  });
  expect(pids.filter(isRunning)).toEqual([]);
});

test("a pool whose workers are busy nearly all the time is replaced long before drain has passed", async () => {
  const page = alice.write("page.php", "<?php usleep(100000); echo getmypid();");
  const pids = await running(
    "php",
    3,
    ...["start = exec php-cgi -q", "listen = fastcgi", "ready-after = 0.2", "drain = 10m"],
    ...["export PHP_FCGI_CHILDREN = 3", "export PHP_FCGI_MAX_REQUESTS = 0"],
  );
  // Without a pause between requests the workers would never be idle.
  const visit = () => askForPage(socketOf("php"), page).then(() => sleep(50));
  await during(5, visit, async () => {
    expect(await supervisor.act("restart", idOf("php"))).toMatchObject({ ok: true });
  });
  expect(pids.filter(isRunning)).toEqual([]);
});

test.each([
  ["is stopped", "stopped", "10m"],
  ["has drained for its whole drain time", "late", "4s"],
])(
  "workers that were stopped by SIGSTOP for draining are continued and ended when their daemon %s",
  async (_, name, drain) => {
    const { pids, worker, long } = await busyPool(name, `drain = ${drain}`);
    const cut = expect(long).rejects.toThrow(/no answer/);
    const restart = supervisor.act("restart", idOf(name));
    // On a slow machine drain may pass before all are stopped: then some requests of the load fail.
    const answered = load(name);
    await during(
      3,
      () => answered().catch(() => undefined),
      () => Promise.race([othersStopped(pids, worker), cut]),
    );
    if (name === "stopped") await supervisor.act("stop", idOf(name));
    await cut;
    await restart;
    // stop-timeout is 1h, so a process that was not continued would still exist.
    expect(pids.filter(isRunning)).toEqual([]);
  },
);

test("scaling down removes a pool under load without losing a request", async () => {
  alice.writeConf("scaled", pool, ...FAST, "drain = 10m", "instances = 2");
  await supervisor.rescan();
  const has = (count: number) =>
    until(`${count} pools`, async () => {
      const { instances } = await supervisor.status(idOf("scaled"));
      return instances.length === count && instances.every(({ pid }) => pid > 0 && childrenOf(pid).length === 3);
    });
  await has(2);
  await during(3, load("scaled"), async () => {
    expect(await supervisor.scale(idOf("scaled"), 1)).toMatchObject({ ok: true });
    await has(1);
  });
});

test("when the supervisor is killed while workers are stopped for draining, the next one lets all of them finish", async () => {
  const { pids, worker, long, open } = await busyPool("killed", "drain = 10m");
  const restart = supervisor.act("restart", idOf("killed")).catch(() => "cut off");
  await during(3, load("killed"), () => othersStopped(pids, worker));
  await supervisor.end("SIGKILL");
  expect(await restart).toBe("cut off");
  expect(pids.filter(isStopped)).not.toEqual([]);
  await supervisor.start();
  await during(3, load("killed"), async () => {
    open();
    expect((await long).pid).toBe(worker);
    await until("exit of the old pool", () => !pids.some(isRunning));
  });
});
