/** Sites by policy: a real nginx in front of daemons of real accounts, from a line of a conf file to a visitor's page. */
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus, PolicyAnswer, StateExport } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { argumentsOf, childrenOf, isRunning } from "./proc.ts";
import { run, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";
import { WebServer } from "./web-server.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let worker: Account;
let supervisor: Supervisor;
let web: WebServer;

const policy = (): string[] => [
  `nginx-group = ${nameFor("web")}`,
  "[runs_as]",
  alice.name,
  bob.name,
  "[hosts]",
  `${alice.name}: blog.example.org, *.greenfelt.net`,
  `${bob.name}: *.greenfelt.net, bob.example.org`,
];

const PAGE =
  "<?php echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'], ' ', file_get_contents('php://input');";

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  await stage.group("web");
  [alice, bob] = [await stage.account("alice"), await stage.account("bob")];
  worker = await stage.account("www", "web");
  web = await WebServer.make(stage.directory, worker);
  supervisor = stage.supervisor("main", policy(), { flags: web.flags });
  for (const account of [alice, bob]) {
    chmodSync(account.home, 0o711);
    account.write("shared/index.html", `${account.name}\n`);
    chmodSync(`${account.home}/shared`, 0o755);
  }
  alice.makeDirectory("www");
  chmodSync(`${alice.home}/www`, 0o755);
  for (const [file, text] of Object.entries({
    "index.php": PAGE,
    "hello.txt": "hello\n",
    "sub/index.html": "below\n",
    ".secret": "secret\n",
    ".well-known/acme": "token\n",
    "wp-config.php.bak": "password\n",
    "config.PHP": "<?php password",
    "old.phtml": "<?php password",
    "x.jpg": "<?php echo 'owned';",
  })) {
    alice.write(`www/${file}`, text);
  }
  for (const directory of ["sub", ".well-known"]) chmodSync(`${alice.home}/www/${directory}`, 0o755);
  alice.writeConf("blog", ...BLOG);
  await supervisor.start();
  await web.start();
  await published("blog", "blog.example.org");
  await shows("blog.example.org", "/hello.txt", "hello\n");
});
afterAll(async () => {
  await web?.stop();
  await stage.remove();
});

const BLOG = ["start = exec php-cgi", "listen = fastcgi", "host = Blog.example.org", "docroot = ~/www"];

const statusOf = (name: string, owner = alice): Promise<DaemonStatus> => supervisor.status(`${owner.name}/${name}`);
const hostOf = async (name: string, host: string, owner = alice) =>
  (await statusOf(name, owner)).hosts.find((each) => each.name === host);
const published = (name: string, host: string, owner = alice) =>
  until(`${host} published`, async () => (await hostOf(name, host, owner))?.state === "published");
const refused = (name: string, host: string, owner = alice) =>
  until(
    `${host} refused`,
    async () => {
      const standing = await hostOf(name, host, owner);
      return standing?.state === "refused" && standing.reason;
    },
    40,
  );
/** Waits until the host answers with this. */
const shows = (host: string, path: string, body: string) =>
  until(`${host}${path} that is "${body}"`, async () => (await web.visit(host, path)).body === body);
const remove = async (name: string, owner = alice): Promise<void> => {
  const hosts = (await statusOf(name, owner)).hosts.filter(({ state }) => state === "published");
  await supervisor.act("stop", `${owner.name}/${name}`);
  rmSync(join(owner.home, owner.conf(name)));
  await supervisor.rescan();
  const gone = (): boolean => hosts.every((host) => !web.inForce().includes(`/${owner.name}/${host.name}.access.log`));
  await until(`the sites of ${name} gone`, gone);
};

test("host= in a conf file publishes a site with PHP, permalinks, request bodies and static files", async () => {
  const get = (path: string) =>
    until(`200 for ${path}`, async () => {
      const visit = await web.visit("blog.example.org", path);
      return visit.status === 200 && visit;
    });
  expect((await get("/")).body).toBe("GET / ");
  expect((await get("/2026/a-post/?p=1")).body).toBe("GET /2026/a-post/?p=1 ");
  expect((await get("/hello.txt")).body).toBe("hello\n");
  expect((await get("/sub/")).body).toBe("below\n");
  expect((await get("/.well-known/acme")).body).toBe("token\n");
  const posted = await web.visit("BLOG.example.org", "/index.php", "POST", "a=b");
  expect([posted.status, posted.body]).toEqual([200, "POST /index.php a=b"]);
});

test("every visitor gets a site as soon as its state is published", async () => {
  alice.writeConf("fresh", "start = exec php-cgi", "listen = fastcgi", "host = fresh.greenfelt.net", "docroot = ~/www");
  await supervisor.rescan();
  await published("fresh", "fresh.greenfelt.net");
  const seen = new Set<string>();
  for (let visit = 0; visit < 60; visit += 1) {
    const { status, body } = await web.visit("fresh.greenfelt.net", "/hello.txt");
    seen.add(`${status} ${body}`);
  }
  expect([...seen]).toEqual(["200 hello\n"]);
  await remove("fresh");
});

test("Nginx serves no dot files, editor copies, other programs, or uploads that pretend to be scripts", async () => {
  for (const path of ["/.secret", "/wp-config.php.bak", "/config.PHP", "/old.phtml", "/x.jpg/y.php", "/none.php"]) {
    const { status, body } = await web.visit("blog.example.org", path);
    expect([path, status, body.includes("password") || body.includes("owned")]).toEqual([path, 404, false]);
  }
  expect((await web.visit("blog.example.org", "/x.jpg")).headers["content-type"]).toBe("image/jpeg");
});

test("Nginx follows no link to another owner's file, not even as the docroot or above it", async () => {
  bob.write("private/data.txt", "bob's\n");
  chmodSync(`${bob.home}/private`, 0o755);
  symlinkSync(`${bob.home}/private/data.txt`, `${alice.home}/www/stolen.txt`);
  await run(["chown", "-h", `${alice.uid}:${alice.gid}`, `${alice.home}/www/stolen.txt`]);
  // Nginx sees no such file, so the application answers.
  expect((await web.visit("blog.example.org", "/stolen.txt")).body).toBe("GET /stolen.txt ");
  symlinkSync(`${alice.home}/www`, `${alice.home}/elsewhere`);
  await run(["chown", "-h", `${alice.uid}:${alice.gid}`, `${alice.home}/elsewhere`]);
  alice.write("www/private/hello.txt", "hello\n");
  chmodSync(`${alice.home}/www/private`, 0o755);
  alice.writeConf("thief", "start = exec sleep 1000", "host = a.greenfelt.net", "docroot = ~/elsewhere/private");
  await supervisor.rescan();
  await published("thief", "a.greenfelt.net");
  await shows("a.greenfelt.net", "/hello.txt", "hello\n");
  rmSync(`${alice.home}/elsewhere`);
  symlinkSync(bob.home, `${alice.home}/elsewhere`);
  await run(["chown", "-h", `${alice.uid}:${alice.gid}`, `${alice.home}/elsewhere`]);
  expect((await web.visit("a.greenfelt.net", "/data.txt")).status).toBe(404);
  await remove("thief");
});

test("a docroot that does not belong to the owner is refused with the reason", async () => {
  for (const docroot of [web.logs, `${web.directory}/temp`, "/etc", "/proc/self", "/nowhere", bob.home]) {
    alice.writeConf("greedy", "start = exec sleep 1000", "host = b.greenfelt.net", `docroot = ${docroot}`);
    await supervisor.rescan();
    await supervisor.act("restart", `${alice.name}/greedy`);
    const reason = await until(`${docroot} refused`, async () => {
      const standing = await hostOf("greedy", "b.greenfelt.net");
      return standing?.state === "refused" && standing.reason.includes(docroot) && standing.reason;
    });
    expect(reason).toMatch(/^host b\.greenfelt\.net: its docroot /);
  }
  expect(web.inForce()).not.toContain("b.greenfelt.net");
  await remove("greedy");
});

test("visitors of a stopped daemon get a small page with Retry-After, and a restart causes no reload", async () => {
  const before = [web.pid, await web.reloads()];
  const id = `${alice.name}/blog`;
  for (let round = 0; round < 3; round += 1) expect((await supervisor.act("restart", id)).ok).toBe(true);
  expect((await web.visit("blog.example.org")).status).toBe(200);
  await supervisor.act("stop", id);
  const { status, headers, body } = await web.visit("blog.example.org", "/?x");
  expect([status, headers["retry-after"], headers["cache-control"]]).toEqual([503, "5", "no-store"]);
  expect(body).toContain("not available at the moment");
  expect(body).not.toContain("nginx");
  expect((await web.visit("blog.example.org", "/x.php", "POST", "a")).status).toBe(404);
  expect((await web.visit("blog.example.org", "/index.php", "POST", "a")).status).toBe(503);
  expect((await web.visit("blog.example.org", "/hello.txt")).status).toBe(200);
  expect((await supervisor.up(id)).state).toMatch(/running|starting/);
  expect((await web.visit("blog.example.org")).status).toBe(200);
  expect([web.pid, await web.reloads()]).toEqual(before);
});

test.each([
  ["GET", 2],
  ["POST", 1],
])("a %s whose php-cgi is killed under it reaches PHP %i time(s)", async (method, times) => {
  const slow = `<?php file_put_contents(__DIR__ . "/../begun", getmypid() . "\\n", FILE_APPEND);
if (file_exists(__DIR__ . "/../hold")) sleep(30); echo "done";`;
  alice.write("www/slow.php", slow);
  rmSync(join(alice.home, "begun"), { force: true });
  const begun = (): string[] => {
    try {
      return readFileSync(join(alice.home, "begun"), "utf8").trim().split("\n");
    } catch {
      return [];
    }
  };
  alice.write("hold", "");
  const { pid } = await supervisor.reaches(`${alice.name}/blog`, "running");
  const visit = web.visit("blog.example.org", "/slow.php", method, method === "POST" ? "a=b" : undefined);
  await until("the request in hand", () => begun().length === 1);
  rmSync(join(alice.home, "hold"));
  expect(begun()).toEqual([String(pid)]);
  process.kill(pid, "SIGKILL");
  const { status, body } = await visit;
  expect([status === 200, body === "done"]).toEqual([times === 2, times === 2]);
  expect(status === 200 || status >= 502).toBe(true);
  await supervisor.reaches(`${alice.name}/blog`, "running", pid);
  // A repeated request would have been answered before this one.
  expect((await web.visit("blog.example.org", "/")).status).toBe(200);
  expect(begun()).toHaveLength(times);
  rmSync(join(alice.home, "www/slow.php"));
});

test.each([
  ["GET", 200, 2],
  ["POST", 503, 1],
])("a %s whose HTTP program dies under it is answered %i, after %i time(s)", async (method, status, times) => {
  // It dies in the middle of the first request.
  const node = `const fs = require("fs"); require("http").createServer((q, a) => { fs.appendFileSync("begun", "x");
    if (fs.readFileSync("begun", "utf8") === "x") process.kill(process.pid, "SIGKILL"); else a.end("done"); })
    .listen({ fd: 3 })`.replaceAll("\n", " ");
  const host = `${method.toLowerCase()}.greenfelt.net`;
  alice.writeConf(
    "mortal",
    "listen = http",
    "docroot = ~/www",
    `dir = ${alice.home}`,
    `host = ${host}`,
    `start = exec ${toolbox.node} -e '${node}'`,
  );
  rmSync(join(alice.home, "begun"), { force: true });
  await supervisor.rescan();
  await published("mortal", host);
  await shows(host, "/hello.txt", "hello\n");
  const visit = await web.visit(host, "/", method, method === "POST" ? "a=b" : undefined);
  const { pid } = await supervisor.reaches(`${alice.name}/mortal`, "running");
  expect(pid).toBeGreaterThan(0);
  expect([visit.status, readFileSync(join(alice.home, "begun"), "utf8").length]).toEqual([status, times]);
  if (status === 200) expect(visit.body).toBe("done");
  await remove("mortal");
});

test("the header Proxy of a visitor reaches no program as HTTP_PROXY", async () => {
  const perl =
    'my $q = FCGI::Request(); while ($q->Accept() >= 0) { print "Content-Type: text/plain\\r\\n\\r\\n", ' +
    '"proxy <$ENV{HTTP_PROXY}>, other <$ENV{HTTP_X_OTHER}>" }';
  const node = `require("http").createServer((q, a) => a.end("proxy <" + (q.headers.proxy ?? "") + ">, other <" +
    q.headers["x-other"] + ">")).listen({ fd: 3 })`.replaceAll("\n", " ");
  const apps = {
    php: ["listen = fastcgi", "app = php", "docroot = ~/www", `start = exec perl -MFCGI -e '${perl}'`],
    fastcgi: ["listen = fastcgi", "app = fastcgi", `start = exec perl -MFCGI -e '${perl}'`],
    http: ["listen = http", `start = exec ${toolbox.node} -e '${node}'`],
  };
  for (const [app, lines] of Object.entries(apps)) {
    alice.writeConf(`proxy-${app}`, `host = proxy-${app}.greenfelt.net`, ...lines);
  }
  await supervisor.rescan();
  for (const app of Object.keys(apps)) {
    await published(`proxy-${app}`, `proxy-${app}.greenfelt.net`);
    await until(`the answer of ${app}`, async () => {
      const headers = { Proxy: "http://evil.example", "X-Other": "yes" };
      const { status, body } = await web.visit(`proxy-${app}.greenfelt.net`, "/index.php", "GET", undefined, headers);
      if (status !== 200 || !body.includes("proxy <")) return false;
      expect(body).toBe("proxy <>, other <yes>");
      return true;
    });
  }
  for (const app of Object.keys(apps)) await remove(`proxy-${app}`);
});

test("with app=http and app=fastcgi the application handles all requests that match no file of docroot", async () => {
  const node =
    `require("http").createServer((q, a) => a.end([q.method, q.url, q.headers.host, q.headers["x-forwarded-for"],
    q.headers.proxy].join(" "))).listen({ fd: 3 })`.replaceAll("\n", " ");
  const perl =
    'my $q = FCGI::Request(); while ($q->Accept() >= 0) { print "Content-Type: text/plain\\r\\n\\r\\n", ' +
    'join " ", map { "<$ENV{$_}>" } qw(REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING HTTP_HOST) }';
  const apps = {
    http: ["listen = http", "docroot = ~/www", `start = exec ${toolbox.node} -e '${node}'`],
    fastcgi: ["listen = fastcgi", "docroot = ~/www", "app = fastcgi", `start = exec perl -MFCGI -e '${perl}'`],
    bare: ["listen = fastcgi", `start = exec perl -MFCGI -e '${perl}'`],
  };
  for (const [name, lines] of Object.entries(apps)) alice.writeConf(name, `host = ${name}.greenfelt.net`, ...lines);
  await supervisor.rescan();
  const host = (name: string): string => `${name}.greenfelt.net`;
  for (const name of Object.keys(apps)) await published(name, host(name));
  await shows(host("http"), "/hello.txt", "hello\n");
  await shows(host("http"), "/x?y=1", "GET /x?y=1 http.greenfelt.net 127.0.0.1 ");
  await shows(host("fastcgi"), "/hello.txt", "hello\n");
  await shows(host("fastcgi"), "/a%20b/c?y=1", "<GET> <> </a b/c> <y=1> <fastcgi.greenfelt.net>");
  await shows(host("bare"), "/hello.txt", "<GET> <> </hello.txt> <> <bare.greenfelt.net>");
  // The application answers for everything but plain files of the docroot; the text of programs is never sent.
  for (const path of ["/.secret", "/index.php", "/wp-config.php.bak", "/"]) {
    expect((await web.visit(host("fastcgi"), path)).body).toBe(`<GET> <> <${path}> <> <fastcgi.greenfelt.net>`);
    expect((await web.visit(host("http"), path)).body).toContain(`GET ${path} `);
  }
  for (const name of Object.keys(apps)) {
    await supervisor.act("stop", `${alice.name}/${name}`);
    const { status, headers } = await web.visit(host(name), "/x");
    expect([name, status, headers["retry-after"]]).toEqual([name, 503, "5"]);
  }
  for (const name of Object.keys(apps)) await remove(name);
});

test("a rolling restart changes no site before it can no longer roll back", async () => {
  const id = `${alice.name}/rolled`;
  // It ignores TERM while it handles a request.
  const node = `process.on("SIGTERM", () => {}); require("http").createServer((q, a) => {
    if (q.url === "/held") require("fs").writeFileSync("held", ""); else a.end("served"); }).listen({ fd: 3 })`;
  const conf = (host: string, ...more: string[]) =>
    alice.writeConf(
      "rolled",
      `start = exec ${toolbox.node} -e '${node.replaceAll("\n", " ")}'`,
      `dir = ${alice.home}`,
      "listen = http",
      "ready-after = 0.2",
      "drain = 10m",
      "stop-timeout = 1s",
      `host = ${host}.greenfelt.net`,
      ...more,
    );
  conf("former");
  await supervisor.rescan();
  // By every worker, also by the one that gets the held request.
  await published("rolled", "former.greenfelt.net");
  await shows("former.greenfelt.net", "/", "served");
  const { pid: former } = await statusOf("rolled");
  const held = web.visit("former.greenfelt.net", "/held");
  await until("a request in hand", () => existsSync(`${alice.home}/held`));
  conf("next", "ready = notify", "ready-timeout = 10m");
  const restarted = supervisor.act("restart", id);
  await until("one that is not ready", async () => (await statusOf("rolled")).instances.length === 2);
  // Another owner publishes a site meanwhile.
  bob.writeConf("meanwhile", "start = exec sleep 1000", "host = meanwhile.greenfelt.net", "docroot = ~/shared");
  await supervisor.rescan();
  await published("meanwhile", "meanwhile.greenfelt.net", bob);
  expect((await statusOf("rolled")).hosts.map(({ name, state }) => [name, state])).toEqual([
    ["former.greenfelt.net", "published"],
  ]);
  expect(web.inForce()).not.toContain("next.greenfelt.net");
  await shows("former.greenfelt.net", "/", "served");
  // Then the site changes, though the former instance is still draining.
  conf("next");
  const again = supervisor.act("restart", id);
  await published("rolled", "next.greenfelt.net");
  await shows("next.greenfelt.net", "/", "served");
  expect(isRunning(former)).toBe(true);
  expect(web.inForce()).not.toContain("former.greenfelt.net");
  await remove("rolled");
  await Promise.allSettled([restarted, again, held]);
  await remove("meanwhile", bob);
});

test("a visitor wakes a daemon that is asleep, and static files need no daemon", async () => {
  alice.writeConf(
    "sleepy",
    ...BLOG.map((line) => line.replace("Blog.example.org", "zzz.greenfelt.net")),
    "ondemand = yes",
  );
  await supervisor.rescan();
  await published("sleepy", "zzz.greenfelt.net");
  await shows("zzz.greenfelt.net", "/hello.txt", "hello\n");
  expect((await statusOf("sleepy")).state).toBe("asleep");
  expect((await web.visit("zzz.greenfelt.net", "/")).body).toBe("GET / ");
  expect((await statusOf("sleepy")).state).toMatch(/running|starting/);
  await remove("sleepy");
});

test("visitors of a daemon that failed or cools down get status 503, also those who came before it failed", async () => {
  const site = (name: string) => ["listen = fastcgi", `host = ${name}.greenfelt.net`, "docroot = ~/www"];
  alice.writeConf("doomed", "start = exit 1", "max-retries = 0", "ondemand = yes", ...site("doomed"));
  alice.writeConf("cooling", "start = exit 1", ...site("cooling"));
  await supervisor.rescan();
  for (const name of ["doomed", "cooling"]) await shows(`${name}.greenfelt.net`, "/hello.txt", "hello\n");
  // The first visitor waits at the socket while the daemon fails.
  expect((await web.visit("doomed.greenfelt.net", "/")).status).toBe(503);
  await supervisor.reaches(`${alice.name}/doomed`, "failed");
  await until("a long wait", async () => (await statusOf("cooling")).cooldown > 2);
  for (const name of ["doomed", "cooling"]) {
    const { status, headers } = await web.visit(`${name}.greenfelt.net`, "/");
    expect([name, status, headers["retry-after"]]).toEqual([name, 503, "5"]);
    await remove(name);
  }
});

test("Nginx passes an application's own 502, 503 and 504 through", async () => {
  alice.write("www/broken.php", "<?php http_response_code((int) $_GET['code']); echo 'its own page';");
  for (const code of [502, 503, 504]) {
    const { status, body, headers } = await web.visit("blog.example.org", `/broken.php?code=${code}`);
    expect([status, body, headers["retry-after"]]).toEqual([code, "its own page", undefined]);
  }
});

test("the API names the policy line that grants a host, and the export lists granted hosts", async () => {
  const ask = async (caller: string, address: string) => {
    const query = new URLSearchParams({ caller, verb: "host", address });
    return (await supervisor.ask("GET", `/v1/policy?${query}`)).body as PolicyAnswer;
  };
  const yes = await ask(alice.name, "WWW.greenfelt.net");
  expect([yes.allowed, yes.source]).toEqual([true, expect.stringMatching(/policy\.conf:\d+$/)]);
  const line = Number(yes.source.split(":")[1]);
  expect(readFileSync(supervisor.config, "utf8").split("\n")[line - 1]).toContain(`${alice.name}: blog.example.org`);
  expect(await ask(alice.name, "bob.example.org")).toMatchObject({ allowed: false, source: "" });
  const explained = await run(
    [toolbox.node, toolbox.dmctl, "explain", "--policy", bob.name, "host", "blog.example.org"],
    {
      env: { DMCTL_SOCKET: supervisor.socket },
    },
  );
  expect([explained.code, explained.stdout]).toEqual([
    1,
    expect.stringMatching(/^no: no line of \[hosts\] lets daemons of /),
  ]);
  const { hosts } = ((await supervisor.ask("GET", "/v1/export")).body as StateExport).policy;
  expect(hosts.map(({ holder, object }) => `${holder}: ${object}`)).toEqual([
    `${alice.name}: blog.example.org`,
    `${alice.name}: *.greenfelt.net`,
    `${bob.name}: *.greenfelt.net`,
    `${bob.name}: bob.example.org`,
  ]);
});

test("a conf file with an error leaves its site published, also across a restart of the supervisor", async () => {
  const before = await web.reloads();
  alice.writeConf("blog", ...BLOG, "max-body = lots");
  await supervisor.rescan();
  await supervisor.end("SIGKILL");
  await supervisor.start();
  await published("blog", "blog.example.org");
  expect((await web.visit("blog.example.org", "/hello.txt")).status).toBe(200);
  alice.writeConf("blog", ...BLOG);
  await supervisor.rescan();
  await published("blog", "blog.example.org");
  expect(await web.reloads()).toBe(before);
});

test("vhosts that Nginx refuses never replace the vhosts in force", async () => {
  const inForce = web.inForce();
  const log = `${web.logs}/${alice.name}/c.greenfelt.net.access.log`;
  // Nginx cannot open this log, so it refuses the configuration.
  mkdirSync(log, { recursive: true });
  alice.writeConf("extra", "start = exec sleep 1000", "host = c.greenfelt.net", "docroot = ~/www", "app = static");
  await supervisor.rescan();
  expect(await refused("extra", "c.greenfelt.net")).toMatch(
    /^host c\.greenfelt\.net: the web server refuses this site: .*Is a directory/,
  );
  expect((await hostOf("blog", "blog.example.org"))?.state).toBe("published");
  expect(web.inForce()).toBe(inForce);
  expect((await web.visit("blog.example.org")).status).toBe(200);
  expect(supervisor.text()).toMatch(/the web server leaves out the site of .*Is a directory/);
  rmSync(log, { recursive: true });
  await remove("extra");
});

test("a site that Nginx accepts, but does not reload for, is pending until it does", async () => {
  const inForce = web.inForce();
  // Another process runs `nginx -t`; only the master reloads.
  process.kill(web.pid, "SIGSTOP");
  alice.writeConf("extra", "start = exec sleep 1000", "host = d.greenfelt.net", "docroot = ~/www", "app = static");
  await supervisor.rescan();
  await until("the reason", async () => {
    const standing = await hostOf("extra", "d.greenfelt.net");
    return standing?.state === "pending" && /nginx accepted the sites but did not reload/.test(standing.reason);
  });
  await until("its line", () => /nginx accepted the sites but did not reload/.test(supervisor.text()));
  expect((await hostOf("blog", "blog.example.org"))?.state).toBe("published");
  expect(web.inForce()).toBe(inForce);
  expect((await web.visit("blog.example.org")).status).toBe(200);
  process.kill(web.pid, "SIGCONT");
  await published("extra", "d.greenfelt.net");
  expect((await web.visit("d.greenfelt.net", "/hello.txt")).body).toBe("hello\n");
  await remove("extra");
});

test("a reload after a failed one withdraws sites that only some workers have, and sites in force stay", async () => {
  const bin = `${stage.directory}/watched`;
  mkdirSync(bin);
  const look = `for each in served sites.conf; do [ -e accepted/$each ] || echo "sites: without $each"; done`;
  writeFileSync(`${bin}/ln`, `#!/bin/sh\n${look}\nexec /usr/bin/ln "$@"\n`, { mode: 0o755 });
  await web.stop();
  await web.start({ PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` });
  const inForce = web.inForce();
  const worker = childrenOf(web.pid).find((pid) => argumentsOf(pid)[0]?.startsWith("nginx: worker process")) ?? 0;
  expect(worker).toBeGreaterThan(0);
  process.kill(worker, "SIGSTOP");
  try {
    alice.writeConf("extra", "start = exec sleep 1000", "host = e.greenfelt.net", "docroot = ~/www", "app = static");
    await supervisor.rescan();
    await until("a reload that failed", async () => {
      const standing = await hostOf("extra", "e.greenfelt.net");
      return standing?.state === "pending" && /did not reload/.test(standing.reason);
    });
    expect(existsSync(`${web.directory}/accepted/reloading`)).toBe(true);
    expect(web.inForce()).toBe(inForce);
    rmSync(`${alice.home}/${alice.conf("extra")}`);
    await supervisor.act("stop", `${alice.name}/extra`);
    await supervisor.rescan();
  } finally {
    process.kill(worker, "SIGCONT");
  }
  const isGone = async () => (await web.visit("e.greenfelt.net", "/hello.txt")).body !== "hello\n";
  await until("the end of the site that was withdrawn", isGone);
  await until("a reload that came through", () => !existsSync(`${web.directory}/accepted/reloading`));
  expect(web.inForce()).toBe(inForce);
  expect(web.text()).not.toContain("sites: without");
  await web.stop();
  await web.start();
});

test("vhosts that were broken by hand are set aside when Nginx starts, and replaced", async () => {
  await web.stop();
  writeFileSync(`${web.directory}/accepted/sites.conf`, "}\n");
  await web.start();
  await published("blog", "blog.example.org");
  await shows("blog.example.org", "/hello.txt", "hello\n");
  expect(web.text()).toContain("all accepted sites are set aside");
});

test("each host has logs that only its owner can read", async () => {
  await web.visit("blog.example.org", "/hello.txt");
  const { accessLog = "", errorLog = "", url } = (await hostOf("blog", "blog.example.org")) ?? {};
  expect(url).toBe(`http://blog.example.org:${web.port}/`);
  // Nginx writes the line after the answer.
  await until("the visit's line", async () =>
    / blog\.example\.org \[.*"GET \/hello\.txt HTTP/.test((await alice.run(["tail", accessLog])).stdout),
  );
  expect((await alice.run(["cat", errorLog])).code).toBe(0);
  expect((await bob.run(["cat", accessLog])).code).not.toBe(0);
  expect((await alice.run(["touch", `${web.logs}/${alice.name}/mine`])).code).not.toBe(0);
  expect((await alice.run(["rm", "-f", accessLog])).code).not.toBe(0);
  const { uid, gid, mode } = lstatSync(`${web.logs}/${alice.name}`);
  expect([uid, gid, mode & 0o7777]).toEqual([worker.uid, alice.gid, 0o750]);
});

test("a site log that grows large is rotated", async () => {
  await web.stop();
  await web.start({ DMHOST_SITE_LOG_SIZE: "1", DMHOST_SITE_LOG_PAUSE: "1" });
  const log = `${web.logs}/${alice.name}/blog.example.org.access.log`;
  for (let request = 0; request < 30; request += 1)
    await web.visit("blog.example.org", `/hello.txt?${"x".repeat(200)}`);
  await until("an older log", () => lstatSync(`${log}.1`, { throwIfNoEntry: false }));
  await until("a log that nginx writes to", async () => {
    await web.visit("blog.example.org", "/hello.txt?again");
    return lstatSync(log, { throwIfNoEntry: false }) && readFileSync(log, "utf8").includes("?again");
  });
});

test("a site log that the web server of another account left is renamed", async () => {
  const log = `${web.logs}/${alice.name}/foreign.greenfelt.net.access.log`;
  writeFileSync(log, "old\n", { mode: 0o644 });
  alice.writeConf("foreign", "start = exec sleep 1000", "host = foreign.greenfelt.net", "docroot = ~/www");
  await supervisor.rescan();
  await published("foreign", "foreign.greenfelt.net");
  await shows("foreign.greenfelt.net", "/hello.txt", "hello\n");
  expect([readFileSync(`${log}.1`, "utf8"), lstatSync(log).uid]).toEqual(["old\n", worker.uid]);
  await remove("foreign");
});

test("dmctl status --long and dmctl explain show the addresses of sites", async () => {
  const { stdout } = await alice.run([toolbox.node, toolbox.dmctl, "status", "blog", "--long"]);
  expect(stdout).toContain(`  http://blog.example.org:${web.port}/ published\n`);
  const explained = await alice.run([toolbox.node, toolbox.dmctl, "explain", "blog"]);
  expect(explained.stdout).toContain(`http://blog.example.org:${web.port}/ published`);
  expect(explained.stdout).toContain("max-body");
});
