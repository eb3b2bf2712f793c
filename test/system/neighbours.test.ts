/**
 * One tenant's runaway daemons beside the site of another: a fork bomb, a slow and an instant memory hog, a busy loop and a
 * log flood at once, all within a budget that is small against the machine.
 */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { BUSY, bomb, hog } from "./runaways.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { WebServer } from "./web-server.ts";

/**
 * Times of single requests that the machine itself delays are no fault of the neighbour's. Hence quiet and noise take turns,
 * and what counts is the middle one of the ratios of the 99th percentiles.
 */
const TURNS = 3;
const VISITS = 200;
const HOST = "quiet.example.org";

let stage: Stage;
let quiet: Account;
let noisy: Account;
let supervisor: Supervisor;
let web: WebServer;

const BOMB = "bomb";
const OTHERS: Readonly<Record<string, string>> = {
  slow: hog(4, 0.05, 400),
  instant: hog(400, 0, 400),
  busy: BUSY,
  flood: "exec yes what nobody wants to read",
};
const idOf = (name: string): string => `${noisy.name}/${name}`;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  quiet = await stage.account("quiet");
  noisy = await stage.account("noisy");
  web = await WebServer.make(stage.directory, await stage.account("www", "web"));
  const policy = [
    `nginx-group = ${nameFor("web")}`,
    "[runs_as]",
    quiet.name,
    noisy.name,
    "[hosts]",
    `${quiet.name}: ${HOST}`,
    "[limits]",
    `${noisy.name}: memory = 64M, processes = 24, cpu = 0.2, log = 1M, restarts = 30`,
  ];
  supervisor = stage.supervisor("main", policy, { flags: web.flags });
  chmodSync(quiet.home, 0o711);
  quiet.write("www/index.php", "<?php echo 'here';");
  chmodSync(join(quiet.home, "www"), 0o755);
  // By itself php-cgi ends after 500 requests.
  const start = "start = PHP_FCGI_MAX_REQUESTS=0 exec php-cgi";
  quiet.writeConf("site", "listen = fastcgi", start, `host = ${HOST}`, "docroot = ~/www");
  for (const [name, start] of Object.entries({ [BOMB]: bomb(120, 0.001), ...OTHERS })) {
    noisy.writeConf(name, `start = ${start}`, "output = log", "autostart = no");
  }
  await supervisor.start();
  await web.start();
  await until("the site", async () => (await web.visit(HOST)).body === "here");
});
afterAll(async () => {
  await web?.stop();
  await stage?.remove();
});

/** How long each of some visits took, in ms, from the shortest to the longest; every one has to be answered. */
const visit = async (): Promise<number[]> => {
  const times: number[] = [];
  for (let count = 0; count < VISITS; count += 1) {
    const begun = performance.now();
    const { status, body } = await web.visit(HOST);
    times.push(performance.now() - begun);
    expect([status, body]).toEqual([200, "here"]);
  }
  return times.sort((a, b) => a - b);
};
const at = (times: readonly number[], part: number): number => times[Math.ceil(times.length * part) - 1] ?? Number.NaN;

/** Asks something of all of the runaways; gives the answers. */
const each = <T>(work: (name: string) => Promise<T>): Promise<T[]> =>
  Promise.all([BOMB, ...Object.keys(OTHERS)].map(work));

const runWild = async (): Promise<void> => {
  // The bomb is the last: what begins beside it gets hardly any of its owner's time.
  await Promise.all(Object.keys(OTHERS).map((name) => supervisor.act("start", idOf(name))));
  await supervisor.act("start", idOf(BOMB));
  await until("a bomb that has gone off", () => processesOf(noisy.uid).length >= 12);
};

const WILD = "a tenant gone wild costs its neighbour neither a visitor nor a process, and hardly any time";
test(WILD, { timeout: 600_000 }, async ({ annotate }) => {
  const site = `${quiet.name}/site`;
  const before = await supervisor.status(site);
  const { limits, warnings } = await supervisor.status(idOf("busy"));
  const by = limits.keys.find(({ key, budget }) => key === "cpu" && budget)?.by;
  await visit();
  const ratios: number[] = [];
  // Elsewhere time is what the kernel's fairness makes of it, and one turn shows the rest.
  for (let turn = 0; turn < (by === "cgroup" ? TURNS : 1); turn += 1) {
    const calm = await visit();
    await runWild();
    const wild = await visit();
    await each((name) => supervisor.act("stop", idOf(name)));
    await until("peace", async () =>
      (await each((name) => supervisor.status(idOf(name)))).every(({ pid }) => pid === 0),
    );
    ratios.push(at(wild, 0.99) / at(calm, 0.99));
    const shown = (times: readonly number[]) => [0.5, 0.99].map((part) => at(times, part).toFixed(1)).join(" and ");
    await annotate(`median and p99 in ms: quiet ${shown(calm)}, wild ${shown(wild)}`);
  }
  const { pid, respawns } = await supervisor.status(site);
  expect([pid, respawns]).toEqual([before.pid, 0]);

  if (by !== "cgroup") {
    expect(by).toBe("nothing");
    expect(warnings.join("\n")).toMatch(/^the owner's budget of cpu=0\.2 is not enforced: /m);
    return;
  }
  const middle = ratios.sort((a, b) => a - b)[Math.floor(TURNS / 2)];
  await annotate(`the middle one of the ratios of p99: ${middle?.toFixed(2)}`);
  expect(middle).toBeLessThanOrEqual(2);
});
