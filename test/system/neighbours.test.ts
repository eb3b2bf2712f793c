/**
 * One tenant's runaway daemons beside another tenant's site: a fork bomb, a slow and an instant memory hog, a busy loop and
 * a log flood at once, all within a small budget.
 */
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { BUSY, bomb, hog } from "./runaways.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { WebServer } from "./web-server.ts";

const VISITS = 400;
const HOST = "quiet.example.org";
/** The noisy tenant's share of one processor. The kernel hands it out by periods of 100 ms, and lets a period be exceeded by a slice. */
const SHARE = 0.1;
const TOLERANCE = 1.3;

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
    `${noisy.name}: memory = 64M, processes = 24, cpu = ${SHARE}, log = 1M, restarts = 30`,
  ];
  supervisor = stage.supervisor("main", policy, { flags: web.flags });
  chmodSync(quiet.home, 0o711);
  quiet.write("www/index.php", "<?php echo 'here';");
  chmodSync(join(quiet.home, "www"), 0o755);
  // By default php-cgi exits after 500 requests.
  const start = "start = PHP_FCGI_MAX_REQUESTS=0 exec php-cgi";
  quiet.writeConf("site", "listen = fastcgi", start, `host = ${HOST}`, "docroot = ~/www");
  for (const [name, start] of Object.entries({ [BOMB]: bomb(120, 0.001), ...OTHERS })) {
    noisy.writeConf(name, `start = ${start}`, "output = log", "autostart = no");
  }
  await supervisor.start();
  await web.start();
  const hosts = async () => (await supervisor.status(`${quiet.name}/site`)).hosts;
  await until("the site to be published", async () => (await hosts()).some(({ state }) => state === "published"));
});
afterAll(async () => {
  await web?.stop();
  await stage?.remove();
});

/** Sends requests, each of which must be answered; returns the median and the 99th percentile of their times in ms. */
const visit = async (): Promise<string> => {
  const times: number[] = [];
  for (let count = 0; count < VISITS; count += 1) {
    const start = performance.now();
    const { status, body } = await web.visit(HOST);
    times.push(performance.now() - start);
    expect([status, body]).toEqual([200, "here"]);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): string => (times[Math.ceil(times.length * part) - 1] ?? Number.NaN).toFixed(1);
  return `median ${at(0.5)} ms, p99 ${at(0.99)} ms`;
};

/** CPU time of all processes of the noisy tenant so far, in seconds, and how many periods ended in throttling; from the kernel. */
const consumed = (): { seconds: number; throttled: number } => {
  const text = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
    .map((mount) => join(mount, supervisor.cgroup, noisy.name, "cpu.stat"))
    .filter(existsSync)
    .map((path) => readFileSync(path, "utf8"))[0];
  const field = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1]);
  return { seconds: field("usage_usec") / 1e6, throttled: field("nr_throttled") };
};

/** Runs `work` for every runaway daemon; returns the results. */
const each = <T>(work: (name: string) => Promise<T>): Promise<T[]> =>
  Promise.all([BOMB, ...Object.keys(OTHERS)].map(work));

const runWild = async (): Promise<void> => {
  // The bomb is started last, because a start beside it gets hardly any CPU time of its owner.
  await Promise.all(Object.keys(OTHERS).map((name) => supervisor.act("start", idOf(name))));
  await supervisor.act("start", idOf(BOMB));
  await until("12 processes of the noisy tenant", () => processesOf(noisy.uid).length >= 12);
};

const TITLE =
  "a tenant's runaway daemons cost another tenant's site no request and no respawn, and get no more CPU time than their budget";
test(TITLE, { timeout: 600_000 }, async ({ annotate }) => {
  const site = `${quiet.name}/site`;
  const before = await supervisor.status(site);
  const { limits, warnings } = await supervisor.status(idOf("busy"));
  const by = limits.keys.find(({ key, budget }) => key === "cpu" && budget)?.enforcedBy;
  await annotate(`quiet: ${await visit()}`);
  await runWild();
  const [start, first] = [performance.now(), consumed()];
  await annotate(`wild: ${await visit()}`);
  const [seconds, last] = [(performance.now() - start) / 1000, consumed()];
  await each((name) => supervisor.act("stop", idOf(name)));
  await until("every process of the noisy tenant to end", () => processesOf(noisy.uid).length === 0);
  await annotate(`quiet: ${await visit()}`);
  const { pid, respawns } = await supervisor.status(site);
  expect([pid, respawns]).toEqual([before.pid, 0]);

  if (by !== "cgroup") {
    expect(by).toBe("nothing");
    expect(warnings.join("\n")).toMatch(/^the owner's budget of cpu=0\.1 is not enforced: /m);
    return;
  }
  expect(last.throttled).toBeGreaterThan(first.throttled);
  // One period of 100 ms more, because both readings fall into the middle of one.
  expect(last.seconds - first.seconds).toBeLessThanOrEqual(SHARE * TOLERANCE * (seconds + 0.1));
});
