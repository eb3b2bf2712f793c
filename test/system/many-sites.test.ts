/** Two thousand sites, one of which Nginx refuses: the publisher with its adapters in front of a real Nginx, without daemons. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseDaemonFile } from "../../apps/supervisor/src/conf/daemon-file.ts";
import { initial } from "../../apps/supervisor/src/core/lifecycle.ts";
import type { PublicationStatus } from "../../apps/supervisor/src/core/site.ts";
import { NginxSites } from "../../apps/supervisor/src/os/files/nginx-sites.ts";
import { SiteInstaller } from "../../apps/supervisor/src/os/sockets/site-installer.ts";
import type { WebServer as WebServerPort } from "../../apps/supervisor/src/web/ports/web-server.ts";
import { Publisher, type SiteDaemon } from "../../apps/supervisor/src/web/publisher.ts";
import { nameFor } from "./account.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import { WebServer } from "./web-server.ts";

const SITES = 2000;
const OWNERS = 20;
/** Longer than it takes on a slow machine, in seconds. The time is printed; it is less than 10 s on a machine at rest. */
const LONG = 100;
const BAD = 1277;

let stage: Stage;
let web: WebServer;
let publisher: Publisher | undefined;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  web = await WebServer.make(stage.directory, await stage.account("www", "web"));
  await web.start();
});
afterAll(async () => {
  publisher?.close();
  await web?.stop();
  await stage.remove();
});

/** A daemon that is published by its socket, on which nobody listens. */
const daemon = (index: number): SiteDaemon => {
  const owner = { name: nameFor(`o${index % OWNERS}`), uid: 0, gid: 0, home: "/", shell: "/bin/sh" };
  const { value } = parseDaemonFile(`start = exec true\nlisten = http\nhost = s${index}.example.org\n`);
  if (!value) throw new Error("the conf file of the test is wrong");
  const serving = { definition: value, fingerprint: "", account: owner, logDirectory: "", nginxGroup: "" };
  const key = { owner, name: `d${index}` };
  return { id: `${owner.name}/${key.name}`, key, serving, state: initial, hosts: [] };
};
const stateOf = ({ hosts }: SiteDaemon): PublicationStatus["state"] | undefined => hosts[0]?.state;

test("one refused site among 2,000 delays the others by one trial of Nginx", async () => {
  const daemons = Array.from({ length: SITES }, (_, index) => daemon(index));
  const bad = daemons[BAD] as SiteDaemon;
  // Nginx cannot open this log, and refuses the whole.
  const log = join(web.logs, bad.key.owner.name, `s${BAD}.example.org.access.log`);
  mkdirSync(log, { recursive: true });
  const report = (reason: string) => {
    throw new Error(reason);
  };
  const server = new SiteInstaller(web.directory, report);
  const sites = new NginxSites({
    sitesDir: web.directory,
    logsDir: web.logs,
    fastcgiDir: join(stage.directory, "fastcgi"),
    memory: join(stage.directory, "sites.json"),
    report,
    identity: () => ({ uid: 0, gid: 0, groups: [] }),
  });
  await until("the installer", () => server.isConnected);
  let installs = 0;
  let trials = 0;
  const counting: WebServerPort = {
    get isConnected() {
      return server.isConnected;
    },
    onConnect: (listener) => server.onConnect(listener),
    inForce: () => server.inForce(),
    install: (text) => {
      installs += 1;
      return server.install(text);
    },
    try: (text) => {
      trials += 1;
      return server.try(text);
    },
  };
  const accounts = { users: new Map(), groups: new Map() };
  const policy = { mayHost: () => ({ allowed: true, because: "", line: undefined }) };
  publisher = new Publisher({
    daemons: () => daemons,
    policy: () => policy,
    accounts: () => accounts,
    web: { server: counting, siteFiles: sites, record: sites },
    clock: {
      now: () => performance.now(),
      after: (delay, then) => {
        const timer = setTimeout(then, delay);
        return () => clearTimeout(timer);
      },
    },
    port: web.port,
    reloadInterval: 15_000,
    report: () => undefined,
  });
  const begun = performance.now();
  publisher.plan();
  const others = daemons.filter((each) => each !== bad);
  await until("all others published", () => others.every((each) => stateOf(each) === "published"), LONG);
  const withRefusal = performance.now() - begun;
  expect([installs, trials]).toEqual([2, 0]);
  expect(bad.hosts[0]).toMatchObject({ state: "refused", reason: expect.stringMatching(/Is a directory/) });
  for (const index of [0, BAD - 1, BAD + 1, SITES - 1]) {
    const { status, headers } = await web.visit(`s${index}.example.org`);
    expect([status, headers["retry-after"]]).toEqual([503, "5"]);
  }
  // One more change beside the refused site, and beside 1,999 that are served.
  daemons.push(daemon(SITES));
  const begunAgain = performance.now();
  publisher.plan();
  await until("the next one published", () => stateOf(daemons[SITES] as SiteDaemon) === "published", LONG);
  const plain = performance.now() - begunAgain;
  expect([installs, trials]).toEqual([3, 0]);
  process.stdout.write(
    `${SITES} sites: in force after ${Math.round(withRefusal)} ms with one refused, ${Math.round(plain)} ms without\n`,
  );
}, 240_000);

test("Nginx starts without one of 2,000 sites that it refuses, and without one of each of 20 owners", async () => {
  const timed = async (...blocked: number[]): Promise<number> => {
    await web.stop();
    for (const index of blocked) {
      const log = join(web.logs, nameFor(`o${index % OWNERS}`), `s${index}.example.org.access.log`);
      rmSync(log);
      mkdirSync(log);
    }
    const begun = performance.now();
    await web.start({}, LONG);
    return Math.round(performance.now() - begun);
  };
  const leftOut = () => [...web.text().matchAll(/sites: (\S+) is left out: /g)].map(([, id]) => id);
  const none = await timed();
  expect(leftOut()).toEqual([]);
  const one = await timed(7);
  expect(leftOut()).toEqual([`${nameFor("o7")}/d7`]);
  for (const index of [0, 6, 8, SITES - 1]) expect((await web.visit(`s${index}.example.org`)).status).toBe(503);
  const owners = Array.from({ length: OWNERS }, (_, index) => index);
  const twenty = await timed(...owners.filter((index) => index !== 7));
  expect(new Set(leftOut())).toEqual(new Set(owners.map((index) => `${nameFor(`o${index}`)}/d${index}`)));
  for (const index of [OWNERS, SITES - 1]) expect((await web.visit(`s${index}.example.org`)).status).toBe(503);
  process.stdout.write(
    `${SITES} sites: Nginx listens after ${none} ms, ${one} ms with one refused, ${twenty} ms with 20\n`,
  );
}, 240_000);
