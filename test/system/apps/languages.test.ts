/** FastCGI applications in Perl, Python and C as tenants' sites: GET and POST through Nginx to a held socket. */
import { chmodSync, cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Account, nameFor } from "../account.ts";
import { Browser } from "../browser.ts";
import { Nginx, vhostText } from "../nginx.ts";
import { isRunning, numbersOf } from "../proc.ts";
import { succeed, until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";

const NAMES = ["catalyst", "wsgi", "c"] as const;
type Name = (typeof NAMES)[number];

/** More clients than Nginx has connections by default. */
const VISITORS = 1500;

const START: Readonly<Record<Name, string>> = {
  catalyst: "exec ./greenfelt.net/script/greenfelt_fastcgi.pl",
  wsgi: "exec uwsgi --plugin python3 --wsgi-file score.py --protocol fastcgi --socket fd://0",
  c: "exec ./score",
};

let stage: Stage;
let tenant: Account;
let supervisor: Supervisor;
let web: Nginx | undefined;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  const worker = await stage.account("nginx", "web");
  tenant = await stage.account("tenant");
  for (const source of ["score.c", "score.py"]) {
    tenant.write(source, readFileSync(join(import.meta.dirname, source), "utf8"));
  }
  const compiled = await tenant.run(["gcc", "-O2", "-o", `${tenant.home}/score`, `${tenant.home}/score.c`, "-lfcgi"]);
  expect(compiled).toEqual({ code: 0, stdout: "", stderr: "" });
  const catalyst = join(tenant.home, "greenfelt.net");
  cpSync(join(import.meta.dirname, "../article/greenfelt.net"), catalyst, { recursive: true });
  await succeed("chown", "-R", `${tenant.uid}:${tenant.gid}`, catalyst);
  chmodSync(join(catalyst, "script/greenfelt_fastcgi.pl"), 0o750);
  for (const name of NAMES) {
    tenant.writeConf(name, `start = ${START[name]}`, "listen = fastcgi", "dir = ~/", "output = log");
  }
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", tenant.name]);
  await supervisor.start();
  const vhosts: Record<string, string> = {};
  for (const name of NAMES) {
    const { socket = "" } = await supervisor.reaches(idOf(name), "running");
    vhosts[name] = vhostText({ name, host: hostOf(name), socket, app: "fastcgi" });
  }
  web = await Nginx.start(join(stage.directory, "nginx"), worker.name, vhosts);
});
afterAll(async () => {
  try {
    await web?.end();
  } finally {
    await stage?.remove();
  }
});

const idOf = (name: Name): string => `${tenant.name}/${name}`;
const hostOf = (name: Name): string => `${name}.example.org`;
const visit = (name: Name): Browser => new Browser(web?.port ?? 0, hostOf(name));

test("a Catalyst application behind Nginx answers GET and POST", async () => {
  const dealt = await visit("catalyst").get("/deal/freecell");
  expect([dealt.status, dealt.text]).toEqual([200, expect.stringMatching(/^freecell is dealt by \d+$/)]);
  const scored = await visit("catalyst").post("/score", { points: "52" });
  expect([scored.status, scored.text]).toEqual([200, `scored 52 by ${tenant.uid}`]);
  expect((await visit("catalyst").get("/nothing")).status).toBe(404);
});

test.each(["wsgi", "c"] as const)("a FastCGI application in %s behind Nginx answers GET and POST", async (name) => {
  const read = await visit(name).get("/games/freecell");
  expect([read.status, read.text]).toEqual([200, `GET /games/freecell  by ${tenant.uid}`]);
  const scored = await visit(name).post("/games/freecell", { points: "52" });
  expect([scored.status, scored.text]).toEqual([200, `POST /games/freecell points=52 by ${tenant.uid}`]);
});

describe.each(NAMES)("the %s application", (name) => {
  test("a tenant's application runs as the tenant", async () => {
    const { pid } = await supervisor.status(idOf(name));
    expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(tenant.uid));
  });

  test("a tenant's application answers a request that arrives right after its process was killed", async () => {
    const { pid } = await supervisor.reaches(idOf(name), "running");
    process.kill(pid, "SIGKILL");
    await until("exit of the process", () => !isRunning(pid));
    const path = name === "catalyst" ? "/deal/freecell" : "/games/freecell";
    expect((await visit(name).get(path)).status).toBe(200);
    expect((await supervisor.status(idOf(name))).respawns).toBe(1);
  });
});

test("1500 requests at once wait in a held socket while its process is stopped, and all are answered", async () => {
  const { socket, pid } = await supervisor.reaches(idOf("c"), "running");
  process.kill(pid, "SIGSTOP");
  const visits = Array.from({ length: VISITORS }, () => visit("c").get("/games/freecell"));
  const answers = Promise.allSettled(visits);
  try {
    await until("1500 connections in the socket's queue", async () => {
      const line = (await succeed("ss", "-xlH")).split("\n").find((text) => text.includes(socket));
      const [, , waiting] = line?.split(/\s+/) ?? [];
      return Number(waiting) === VISITORS;
    });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  const statuses = (await answers).map((answer) =>
    answer.status === "fulfilled" ? answer.value.status : answer.reason,
  );
  expect(new Set(statuses)).toEqual(new Set([200]));
});
