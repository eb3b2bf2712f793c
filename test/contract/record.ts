/**
 * Records the corpus: runs a real supervisor with daemons in every state, asks each endpoint, and replaces v1/, the released
 * document included. As root, with the programs of the system tests: `npm run record`. It refuses when the schemas break the
 * promise of the last record. Record at each release.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { type DaemonState, VERSION } from "@dmhost/contract";
import { openapi } from "@dmhost/contract/openapi";
import { ENDPOINTS, type EndpointName } from "@dmhost/contract/schemas";
import { type Account, nameFor } from "../system/account.ts";
import { NamespaceBroker } from "../system/namespace-broker.ts";
import { until } from "../system/program.ts";
import { hog } from "../system/runaways.ts";
import { Stage } from "../system/stage.ts";
import type { Supervisor } from "../system/supervisor.ts";
import { WebServer } from "../system/web-server.ts";
import { type Document, incompatibilities } from "./compatibility.ts";
import { type Recorded, readReleased, readReleases, writeRecorded, writeReleased } from "./corpus.ts";

const document = JSON.parse(JSON.stringify(openapi())) as Document;
const problems = incompatibilities(readReleased(), document, readReleases());
if (problems.length > 0)
  throw new Error(`cannot record: the schemas break the promise of the control API:\n${problems.join("\n")}`);

const corpus = new Map<EndpointName, Recorded[]>();
const SLEEP = "start = exec sleep 100000";

const writeConfs = (alice: Account, bob: Account): void => {
  chmodSync(alice.home, 0o711);
  alice.makeDirectory("www");
  chmodSync(join(alice.home, "www"), 0o755);
  const quiet = ["output = discard"];
  alice.writeConf(
    "running",
    "start = echo working; exec sleep 100000",
    "output = log",
    "memory = 64M",
    "cpu = 0.5",
    "export KEY = value",
    "colour = red",
  );
  alice.writeConf("stopped", SLEEP, "autostart = no");
  alice.writeConf("starting", SLEEP, "ready = fd:3", "ready-timeout = 1h");
  alice.writeConf("stopping", "start = trap '' TERM; while :; do sleep 1; done", "stop-timeout = 1h");
  alice.writeConf("coolingdown", "start = echo no luck; exit 3", "output = log", "max-retries = 1000");
  alice.writeConf("failed", "start = echo no luck; exit 3", "output = log", "max-retries = 0");
  alice.writeConf("asleep", "start = exec php-cgi -q", "listen = fastcgi", "ondemand = yes");
  alice.writeConf("paused", SLEEP);
  alice.writeConf("forbidden", SLEEP, "user = root");
  alice.writeConf("invalid", SLEEP, "listen = everywhere");
  alice.writeConf(
    "site",
    "start = exec php-cgi -q",
    "listen = fastcgi",
    "instances = 2",
    "docroot = ~/www",
    "host = www.example.org, other.example.net",
  );
  alice.writeConf("lost", SLEEP, "dir = /nonexistent", "max-retries = 0");
  alice.writeConf("unready", SLEEP, "ready = fd:3", "ready-timeout = 0.2", "max-retries = 0", ...quiet);
  alice.writeConf("hog", `start = ${hog(4, 0.05, 64)}`, "memory = 48M", "max-retries = 0", ...quiet);
  alice.writeConf("killed", SLEEP, "max-retries = 0", ...quiet);
  alice.writeConf("twin", SLEEP, "autostart = no");
  bob.writeConf("twin", SLEEP, "autostart = no");
};

const add = (name: EndpointName, recorded: Recorded): void => {
  corpus.set(name, [...(corpus.get(name) ?? []), recorded]);
};

/** Sends a request whose answer does not end, and leaves after its first bytes. */
const askUntilFirstBytes = (socketPath: string, path: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false, timeout: 20_000 }, (answer) => {
      answer.setEncoding("utf8").on("error", reject);
      answer.once("data", (body: string) => {
        resolve({ status: answer.statusCode ?? 0, body });
        sent.destroy();
      });
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error(`no bytes of ${path} within 20 s`)));
    sent.end();
  });

const record = async (supervisor: Supervisor, owner: Account): Promise<void> => {
  const ask = async (
    name: EndpointName,
    address = "",
    { query = "", body }: { query?: string; body?: unknown } = {},
  ) => {
    const { method, path } = ENDPOINTS[name];
    const id = address === "" || address.includes("/") ? address : `${owner.name}/${address}`;
    const url = `/v1${path.replace(":address", encodeURIComponent(id))}${query}`;
    const { status, body: answer } = await supervisor.ask(method, url, body);
    add(name, { request: `${method} ${url}`, ...(body !== undefined && { sent: body }), status, body: answer });
    return answer;
  };
  const reach = (name: string, state: DaemonState) => supervisor.reaches(`${owner.name}/${name}`, state);

  for (const state of ["running", "starting", "failed", "asleep", "forbidden", "invalid"] as const)
    await reach(state, state);
  for (const name of ["lost", "unready", "hog"]) await reach(name, "failed");
  await reach("killed", "running");
  await ask("kill", "killed", { body: { signal: "KILL" } });
  await reach("killed", "failed");
  await ask("kill", "stopped", { body: { signal: "KILL" } });
  await ask("kill", "running", { body: { signal: "NONE" } });

  await ask("pause", "paused");
  await ask("pause", "paused");
  await ask("pause", "stopped");
  await ask("start", "twin");
  await ask("start", "twin");
  await ask("start", "failed");
  await ask("start", "lost");
  await ask("start", "nobody");
  await ask("restart", "twin");
  await ask("restart", "invalid");
  await ask("scale", "twin", { body: { instances: 2 } });
  await ask("scale", "twin", { body: { instances: 2 } });
  await ask("continue", "twin");
  await ask("once", "twin");
  await ask("stop", "twin");
  await ask("stop", "twin");
  await ask("exit", "twin");

  // Answered only when this supervisor ends, with the whole stage.
  void supervisor.act("stop", `${owner.name}/stopping`).catch(() => undefined);
  await reach("stopping", "stopping");
  await reach("coolingdown", "coolingdown");
  await ask("listDaemons", "", { query: "?usage=1" });
  await ask("listDaemons");
  await ask("getDaemon", "site");
  await ask("getDaemon", "x/y/z");
  for (const name of ["running", "coolingdown", "lost", "unready", "hog", "killed", "forbidden", "invalid"])
    await ask("explain", name);
  await ask("exportState");
  await ask("getHealth");
  await ask("listImages");
  await ask("acceptImage", "", { body: { image: "php:8.4-fpm" } });
  await ask("acceptImage", "", { body: { image: "?" } });
  for (const [verb, address] of [
    ["run-as", "root"],
    ["start", `${owner.name}/site`],
  ] as const) {
    await ask("askPolicy", "", { query: `?${new URLSearchParams({ caller: owner.name, verb, address })}` });
  }
  owner.writeConf("new", SLEEP, "colour = red");
  owner.writeConf("worse", SLEEP, "listen = everywhere");
  await ask("rescan");
  const { fingerprint } = (await ask("readFile", "new")) as { fingerprint: string };
  await ask("readFile", "none");
  for (const body of [
    { text: SLEEP, fingerprint: "stale" },
    { text: "listen = everywhere", fingerprint },
    { path: "/ignored", text: `${SLEEP}\ncolour = red\n`, fingerprint },
    { text: 1 },
  ]) {
    await ask("writeFile", "new", { body });
  }
  await ask("readLog", "none");
  await ask("readLog", "running", { query: "?lines=1" });
  await ask("readLog", "running", { query: "?since=0" });
  await ask("readLog", "running", { query: "?lines=1&since=0" });
  const url = `/v1/daemons/${encodeURIComponent(`${owner.name}/running`)}/log?lines=1&follow=1`;
  add("readLog", { request: `GET ${url}`, ...(await askUntilFirstBytes(supervisor.socket, url)) });
};

const stage = await Stage.make();
try {
  await stage.group("web");
  const [alice, bob, carol] = [await stage.account("alice"), await stage.account("bob"), await stage.account("carol")];
  const worker = await stage.account("www", "web");
  const web = await WebServer.make(stage.directory, worker);
  const policy = [
    `nginx-group = ${nameFor("web")}`,
    ...["[runs_as]", alice.name, bob.name, "[manages]", `${carol.name}: ${alice.name}`],
    ...["[hosts]", `${alice.name}: *.example.org`, "[limits]", `${alice.name}: processes = 200`],
    ...["[images]", `${alice.name}: php:8.4-fpm`],
  ];
  const brokerSocket = join(stage.directory, "broker.sock");
  const supervisor = stage.supervisor("main", policy, { flags: [...web.flags, "--broker", brokerSocket] });
  const broker = new NamespaceBroker(brokerSocket, join(supervisor.runDir, "guests"), () => alice, {
    command: [],
    environment: [],
    directory: "/",
  });
  broker.images = [
    {
      image: "docker.io/library/php:8.4-fpm",
      recorded: "sha256:0a1b",
      present: "sha256:2c3d",
      moved: true,
      usedBy: [`${alice.name}/blog`],
    },
  ];
  await broker.start();
  writeConfs(alice, bob);
  mkdirSync(join(import.meta.dirname, "v1"), { recursive: true });
  await supervisor.start();
  const site = `${alice.name}/site`;
  await supervisor.reaches(site, "running");
  // Nginx does not run yet, so the site is pending.
  const pending = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(site)}`);
  add("getDaemon", { request: `GET /v1/daemons/${encodeURIComponent(site)}`, ...pending });
  await web.start();
  try {
    await until("a published site", async () => {
      const { hosts } = await supervisor.status(site);
      return hosts.some(({ state }) => state === "published");
    });
    await record(supervisor, alice);
    const scrub = (text: string): string =>
      text
        .replaceAll(stage.directory, "/srv/example")
        .replaceAll(nameFor(""), "")
        .replaceAll(`:${web.port}/`, ":8080/")
        .replaceAll(VERSION, "0.1.0");
    for (const [endpoint, recorded] of corpus) writeRecorded(endpoint, recorded, scrub);
    writeReleased(document);
  } finally {
    await web.stop();
    await broker.remove();
  }
} finally {
  await stage.remove();
}
