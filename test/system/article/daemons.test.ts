/** The three daemons of the article about Daemon Manager, with their real conf files and programs; and its status table. */
import { chmodSync, cpSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { requestPage } from "../fastcgi-client.ts";
import { argumentsOf, isRunning, numbersOf } from "../proc.ts";
import { CHECKOUT, type Ended, run, succeed, until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { fillToolbox, type Toolbox } from "../toolbox.ts";
import { Database } from "./database.ts";
import { endDaemons, makeTenants, PATIENCE, type Tenants } from "./tenants.ts";
import { confLines, POLICY, STATUS, timeless } from "./texts.ts";
import { Wordpress } from "./wordpress.ts";

const WORDPRESS = "david/wordpress";
/** Runs a program in a network namespace with only the loopback, because deluged contacts peers and routers. */
const ALONE = ["unshare", "--net", "/bin/sh", "-c", 'ip link set lo up && exec "$@"', "sh"];
/** Number of crashes of php-cgi in the article's table. */
const CRASHES = 33;

let stage: Stage;
let toolbox: Toolbox;
let tenants: Tenants;
let database: Database | undefined;
let wordpress: Wordpress;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  tenants = await makeTenants(stage);
  const { david, greenfelt } = tenants;
  database = await Database.start(await stage.account("database"));
  chmodSync(join(database.socket, ".."), 0o711);
  wordpress = await Wordpress.make(david, "www-data", database.socket);
  const site = join(greenfelt.home, "greenfelt.net");
  cpSync(join(import.meta.dirname, "greenfelt.net"), site, { recursive: true });
  await succeed("chown", "-R", `${greenfelt.name}:www-data`, site);
  await succeed("chmod", "-R", "u=rwX,g=rwX,o=", site);
  chmodSync(join(site, "script/greenfelt_fastcgi.pl"), 0o750);
  chmodSync(greenfelt.home, 0o711);

  david.writeConf("deluged", ...confLines("deluged", david.home));
  david.writeConf("wordpress", ...confLines("wordpress", wordpress.directory));
  david.writeConf("greenfelt", ...confLines("greenfelt", site), "autostart=no");
  greenfelt.writeConf("greenfelt", ...confLines("greenfelt", site));
  // These daemons appear only in the article's table.
  for (const name of ["deluge-web", "moviefile", "pytivo", "streamium"]) david.writeConf(name, "start=exec sleep 1000");
  david.writeConf("minecraft", "start=exec sleep 1000", "autostart=no");

  supervisor = stage.supervisor("main", POLICY.trimEnd().split("\n"), { through: ALONE });
  await supervisor.start();
}, PATIENCE);
afterAll(async () => {
  try {
    await endDaemons(stage, supervisor);
    await database?.end();
  } finally {
    await stage?.remove();
  }
});

const wwwData = async (): Promise<number[]> => Array(4).fill(Number(await succeed("id", "-u", "www-data")));
/** Kills the daemon's process; returns the pid of the next one. */
const crash = async (id: string): Promise<number> => {
  const { pid } = await supervisor.reaches(id, "running");
  process.kill(pid, "SIGKILL");
  return (await supervisor.reaches(id, "running", pid)).pid;
};

test("deluged.conf of the article runs deluged as david in his home, and deluged answers its client", async () => {
  const { pid } = await supervisor.reaches("david/deluged", "running");
  const node = [join(CHECKOUT, "node_modules/.bin/node"), join(import.meta.dirname, "deluge-client.ts")];
  const ask = (): Promise<Ended> => run(["nsenter", `--net=/proc/${pid}/ns/net`, ...node]);
  const version = await until("an answer of deluged", async () => (await ask()).stdout || undefined, 30);
  expect((await run(["deluged", "--version"])).stdout).toContain(`deluged ${version}\n`);
  expect(argumentsOf(pid).slice(1)).toEqual(["/usr/bin/deluged", "-d"]);
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(tenants.david.uid));
  const stopped = await supervisor.act("stop", "david/deluged");
  expect([stopped.ok, isRunning(pid)]).toEqual([true, false]);
  await supervisor.up("david/deluged");
});

test("wordpress.conf of the article runs php-cgi as www-data, which installs WordPress and shows the site", async () => {
  const { pid } = await supervisor.reaches(WORDPRESS, "running");
  await until("wordpress.socket", () => lstatSync(wordpress.socket, { throwIfNoEntry: false })?.isSocket());
  expect(argumentsOf(pid)).toEqual(["php-cgi", "-q", "-b", "wordpress.socket"]);
  expect(numbersOf(pid, "Uid")).toEqual(await wwwData());
  expect((await wordpress.frontPage()).head).toMatch(/^Location: .*\/wp-admin\/install\.php/m);
  expect((await wordpress.page("/wp-admin/install.php", "step=1")).body).toContain('name="weblog_title"');
  const password = "correct horse battery staple";
  const installed = await wordpress.page("/wp-admin/install.php", "step=2", {
    weblog_title: "Solitaire at home",
    user_name: "david",
    admin_password: password,
    admin_password2: password,
    admin_email: "david@example.org",
    Submit: "Install WordPress",
  });
  expect(installed.body).toContain("WordPress has been installed");
  const { body } = await wordpress.frontPage();
  expect(body).toContain("<title>Solitaire at home</title>");
  expect(body).toContain("<h1>Hello world!</h1>");
});

test("a php-cgi of the article's wordpress.conf that crashes is counted and started again", async () => {
  for (let crashes = 1; crashes <= 4; crashes += 1) {
    await crash(WORDPRESS);
    expect((await supervisor.status(WORDPRESS)).respawns).toBe(crashes);
  }
  const back = await until("an answer of the site", () => wordpress.frontPage().catch(() => undefined));
  expect(back.body).toContain("<title>Solitaire at home</title>");
});

test("greenfelt.conf of the article runs a Catalyst application as www-data, and its standard error is in the log", async () => {
  const { pid, logFile } = await supervisor.reaches("greenfelt/greenfelt", "running");
  expect(logFile).toBe(`${tenants.greenfelt.home}/.daemon-manager/logs/greenfelt/current`);
  const socket = join(tenants.greenfelt.home, "greenfelt.net/greenfelt.socket");
  await until("greenfelt.socket", () => lstatSync(socket, { throwIfNoEntry: false })?.isSocket(), 30);
  expect(numbersOf(pid, "Uid")).toEqual(await wwwData());
  const ask = (path: string) =>
    requestPage(socket, { file: "", path, more: { SCRIPT_NAME: "", HTTP_HOST: "localhost" } });
  expect((await ask("/deal/freecell")).body).toMatch(/^freecell is dealt by \d+$/);
  expect((await ask("/nothing")).head).toContain("Status: 404");
  await until("standard error of the application in the log", () =>
    readFileSync(logFile, "utf8").includes("dealt freecell\n"),
  );
  expect(lstatSync(logFile).uid).toBe(tenants.greenfelt.uid);
  const shown = await tenants.greenfelt.run([toolbox.node, toolbox.dmctl, "greenfelt", "log"]);
  expect([shown.code, shown.stdout]).toEqual([
    0,
    expect.stringMatching(/ FastCGI: manager \(pid \d+\): initialized\n/),
  ]);
  expect(shown.stdout).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} dealt freecell$/m);
});

test("dmctl status prints the article's table with the same number of respawns", async () => {
  // Without healthy-after the 33 crashes are no failed runs, which would have to wait for their back-off.
  tenants.david.writeConf("wordpress", ...confLines("wordpress", wordpress.directory), "healthy-after=0");
  expect((await supervisor.act("restart", WORDPRESS)).ok).toBe(true);
  for (let crashes = 0; crashes < CRASHES; crashes += 1) await crash(WORDPRESS);
  const { code, stdout, stderr } = await tenants.david.run([toolbox.node, toolbox.dmctl, "status"]);
  expect([code, stderr]).toEqual([0, ""]);
  // David also manages daemons of other owners, which the article does not show.
  const lines = stdout.split("\n").filter((line) => /^(daemon-id|david\/)/.test(line));
  expect(lines.map(timeless)).toEqual(STATUS.trimEnd().split("\n").map(timeless));
  expect(lines[0]).toBe(STATUS.split("\n")[0]);
});
