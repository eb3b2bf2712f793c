/** What is replaced, or too many, finishes its requests within `drain`, whatever it does at TERM; busy pools too. */
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
  // Its workers end at once at TERM, whatever they have in hand.
  pool = serve("3", "no", "abrupt").replace("exec perl", `exec perl ${master}`);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const FAST = ["listen = systemd", "ready-after = 0.2", "stop-timeout = 1h"];
const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
/** A file that lets go who asked to wait for it. */
const gate = (name: string): { path: string; open: () => void } => {
  const path = join(alice.home, `${name}.gate`);
  rmSync(path, { force: true });
  return { path, open: () => void alice.write(`${name}.gate`, "") };
};
const isHeld = (pid: number): boolean => {
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
    // Perl looks for its modules: a descriptor is not there any more.
    return 0;
  }
};
const takesUp = (pids: readonly number[]): Promise<number> =>
  until("a connection in hand", () => pids.find((pid) => socketsOf(pid) > 1));
/** A new daemon that runs; gives the pids of its main process and of the children of that. */
const running = async (name: string, children: number, ...lines: string[]): Promise<[number, ...number[]]> => {
  alice.writeConf(name, ...lines);
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf(name), "running");
  return [pid, ...(await until("its children", () => childrenOf(pid).length === children && childrenOf(pid)))];
};

/** So many clients who ask again and again until `work` is done. One who is not answered rejects. */
const during = async <T>(clients: number, ask: () => Promise<unknown>, work: () => Promise<T>): Promise<T> => {
  let going = true;
  const asking = Array.from({ length: clients }, async () => {
    while (going) await ask();
  });
  try {
    return await Promise.race([work(), Promise.all(asking).then(() => Promise.reject(new Error("nobody asks")))]);
  } finally {
    going = false;
    await Promise.allSettled(asking);
    await Promise.all(asking);
  }
};

/** A pool, which of its processes has a request that lasts until its gate is open, and that request. */
const busyPool = async (name: string, ...more: string[]) => {
  const pids = await running(name, 3, pool, ...FAST, ...more);
  const { path, open } = gate(name);
  const long = askLine(socketOf(name), `wait ${path}`);
  const worker = await takesUp(pids.slice(1));
  return { pids, long, open, worker };
};
/** Three who ask so are always served, and each worker of the old pool and the new has a rest now and then. */
const load = (name: string) => (): Promise<unknown> => askLine(socketOf(name), "slow");
const othersHeld = (pids: readonly number[], worker: number): Promise<unknown> =>
  until("the others held", () => pids.slice(1).every((pid) => pid === worker || isHeld(pid)));
const begins = async (name: string, answer: Promise<Outcome>): Promise<void> => {
  const isLeaving = async () =>
    (await supervisor.status(idOf(name))).instances.some(({ state }) => state === "stopping");
  await Promise.race([until("one on its way out", isLeaving), answer]);
};
/** In ms: long enough for whoever gives a request less than `drain` to show it. */
const A_WHILE = 2500;

test("a program whose TERM handler ends it at once finishes a long request", async () => {
  const [pid] = await running("one", 0, serve("3", "no", "abrupt"), ...FAST, "drain = 10m");
  const { path, open } = gate("one");
  const long = askLine(socketOf("one"), `wait ${path}`);
  await takesUp([pid]);
  const restart = supervisor.act("restart", idOf("one"));
  await begins("one", restart);
  await sleep(A_WHILE);
  open();
  expect(await long).toEqual({ pid, word: "abrupt" });
  expect(await restart).toMatchObject({ ok: true });
  expect(isRunning(pid)).toBe(false);
});

test("so does a pool of such under load, and nobody else is lost", async () => {
  const { pids, worker, long, open } = await busyPool("pool", "drain = 10m");
  await during(3, load("pool"), async () => {
    const restart = supervisor.act("restart", idOf("pool"));
    await begins("pool", restart);
    await sleep(A_WHILE);
    open();
    expect((await long).pid).toBe(worker);
    expect(await restart).toMatchObject({ ok: true });
  });
  expect(pids.filter(isRunning)).toEqual([]);
});

test("a pool whose workers always have requests in hand is replaced long before drain is over", async () => {
  const page = alice.write("page.php", "<?php usleep(100000); echo getmypid();");
  const pids = await running(
    "php",
    3,
    ...["start = exec php-cgi -q", "listen = fastcgi", "ready-after = 0.2", "drain = 10m"],
    ...["export PHP_FCGI_CHILDREN = 3", "export PHP_FCGI_MAX_REQUESTS = 0"],
  );
  // Without a rest between two requests they would have no moment without one.
  const visit = () => askForPage(socketOf("php"), page).then(() => sleep(50));
  await during(5, visit, async () => {
    expect(await supervisor.act("restart", idOf("php"))).toMatchObject({ ok: true });
  });
  expect(pids.filter(isRunning)).toEqual([]);
});

test.each([
  ["is asked to stop", "stopped", "10m"],
  ["has had its time", "late", "4s"],
])("workers that are held are let go when their daemon %s", async (_, name, drain) => {
  const { pids, worker, long } = await busyPool(name, `drain = ${drain}`);
  const cut = expect(long).rejects.toThrow(/no answer/);
  const restart = supervisor.act("restart", idOf(name));
  // On a slow machine drain may be over before all are held: then some of the load is cut off.
  const answered = load(name);
  await during(
    3,
    () => answered().catch(() => undefined),
    () => Promise.race([othersHeld(pids, worker), cut]),
  );
  if (name === "stopped") await supervisor.act("stop", idOf(name));
  await cut;
  await restart;
  // Only KILL, in an hour, ends what does not run.
  expect(pids.filter(isRunning)).toEqual([]);
});

test("a pool that is one too many is taken away under load, and nobody is lost", async () => {
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

test("killed while workers are held, the next supervisor lets all of them finish", async () => {
  const { pids, worker, long, open } = await busyPool("killed", "drain = 10m");
  const restart = supervisor.act("restart", idOf("killed")).catch(() => "cut off");
  await during(3, load("killed"), () => othersHeld(pids, worker));
  await supervisor.end("SIGKILL");
  expect(await restart).toBe("cut off");
  expect(pids.filter(isHeld)).not.toEqual([]);
  await supervisor.start();
  await during(3, load("killed"), async () => {
    open();
    expect((await long).pid).toBe(worker);
    await until("the old ones gone", () => !pids.some(isRunning));
  });
});
