/** Debian's WordPress as a tenant's site behind Nginx: installation, login, permalinks, uploads. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { nameFor } from "../account.ts";
import { Database } from "../article/database.ts";
import { copyWordpress } from "../article/wordpress.ts";
import { Browser } from "../browser.ts";
import { Nginx, vhostText } from "../nginx.ts";
import { numbersOf } from "../proc.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { makePicture, sizeOfPicture } from "./picture.ts";

const USER = "editor";
const PASSWORD = "correct horse battery staple";
const PICTURE = makePicture(640, 480);

let stage: Stage;
let tenant: Account;
let database: Database | undefined;
let supervisor: Supervisor;
let web: Nginx | undefined;
let author: Browser;
let visitor: Browser;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  const worker = await stage.account("nginx", "web");
  tenant = await stage.account("tenant");
  const server = await stage.account("database");
  database = await Database.start(server);
  chmodSync(server.home, 0o711);
  const docroot = await copyWordpress(tenant, database.socket);
  for (const passage of [tenant.home, docroot]) chmodSync(passage, 0o711);
  // WordPress requests its own site to check permalinks, so it needs two processes.
  const start = ["start = exec php-cgi", "instances = 2"];
  tenant.writeConf("blog", ...start, "listen = fastcgi", `dir = ${docroot}`, "output = log");
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", tenant.name]);
  await supervisor.start();
  const { socket } = await supervisor.reaches(idOf("blog"), "running");
  const site = { name: "blog", host: "127.0.0.1", socket: socket ?? "", app: "php", docroot } as const;
  web = await Nginx.start(join(stage.directory, "nginx"), worker.name, { blog: vhostText(site) });
  const host = `127.0.0.1:${web.port}`;
  [author, visitor] = [new Browser(web.port, host), new Browser(web.port, host)];
}, 120_000);
afterAll(async () => {
  try {
    await web?.end();
    await database?.end();
  } finally {
    await stage?.remove();
  }
});

const idOf = (name: string): string => `${tenant.name}/${name}`;
/** Value of a form's hidden field. */
const fieldOf = (page: string, name: string): string => {
  const input = new RegExp(`<input[^>]*name="${name}"[^>]*>`).exec(page)?.[0] ?? "";
  const value = /value="([^"]*)"/.exec(input)?.[1];
  if (value === undefined) throw new Error(`the page has no field ${name}: ${page}`);
  return value;
};

test("WordPress is installed through its form by php-cgi processes of the tenant", async () => {
  const first = await visitor.get("/");
  expect([first.status, first.headers["location"]]).toEqual([
    302,
    `http://127.0.0.1:${web?.port}/wp-admin/install.php`,
  ]);
  expect((await visitor.get("/wp-admin/install.php?step=1")).text).toContain('name="weblog_title"');
  const installed = await author.post("/wp-admin/install.php?step=2", {
    weblog_title: "Greenfelt",
    user_name: USER,
    admin_password: PASSWORD,
    admin_password2: PASSWORD,
    admin_email: "editor@example.org",
    Submit: "Install WordPress",
  });
  expect(installed.text).toContain("WordPress has been installed");
  expect((await visitor.get("/")).text).toContain("<title>Greenfelt</title>");
  const { instances } = await supervisor.status(idOf("blog"));
  expect(instances.length).toBe(2);
  for (const { pid } of instances) expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(tenant.uid));
});

test("WordPress lets its author log in with a cookie, and refuses a wrong password", async () => {
  const wrong = await visitor.post("/wp-login.php", { log: USER, pwd: "guessed", testcookie: "1" });
  expect([wrong.status, wrong.headers["location"]]).toEqual([200, undefined]);
  await author.get("/wp-login.php");
  const right = await author.post("/wp-login.php", { log: USER, pwd: PASSWORD, testcookie: "1" });
  expect([right.status, right.headers["location"]]).toEqual([302, `http://127.0.0.1:${web?.port}/wp-admin/`]);
  expect((await author.get("/wp-admin/")).text).toContain("Dashboard");
  expect((await visitor.get("/wp-admin/")).status).toBe(302);
});

test("WordPress serves a new post at its permalink", async () => {
  const settings = await author.get("/wp-admin/options-permalink.php");
  const saved = await author.post("/wp-admin/options-permalink.php", {
    _wpnonce: fieldOf(settings.text, "_wpnonce"),
    _wp_http_referer: "/wp-admin/options-permalink.php",
    selection: "/%postname%/",
    permalink_structure: "/%postname%/",
    category_base: "",
    tag_base: "",
    submit: "Save Changes",
  });
  expect(saved.status).toBe(302);
  // WordPress rewrites its rules on the page to which it redirects.
  const shown = await author.get(new URL(String(saved.headers["location"])).pathname);
  expect(shown.text).toMatch(/value="\/%postname%\/"[^>]*checked/);
  const nonce = (await author.get("/wp-admin/admin-ajax.php?action=rest-nonce")).text;
  const words = { title: "Dealing with losses", content: "<p>Every column was empty.</p>", status: "publish" };
  expect((await visitor.postJson("/wp-json/wp/v2/posts", words)).status).toBe(401);
  const written = await author.postJson("/wp-json/wp/v2/posts", words, { "x-wp-nonce": nonce });
  expect(written.status).toBe(201);
  const { link } = JSON.parse(written.text) as { link: string };
  expect(link).toBe(`http://127.0.0.1:${web?.port}/dealing-with-losses/`);
  const read = await visitor.get("/dealing-with-losses/");
  expect(read.status).toBe(200);
  expect(read.text).toContain("<h1>Dealing with losses</h1>");
  expect(read.text).toContain("Every column was empty.");
  expect((await visitor.get("/dealing-with-wins/")).status).toBe(404);
});

test("an image uploaded to WordPress is scaled by PHP and served by Nginx even while the daemon is stopped", async () => {
  const form = await author.get("/wp-admin/media-new.php");
  const uploaded = await author.postFiles("/wp-admin/media-new.php", {
    _wpnonce: fieldOf(form.text, "_wpnonce"),
    _wp_http_referer: "/wp-admin/media-new.php",
    post_id: "0",
    "html-upload": "Upload",
    "async-upload": new File([new Uint8Array(PICTURE)], "felt.png", { type: "image/png" }),
  });
  expect(uploaded.status).toBe(302);
  const media = JSON.parse((await visitor.get("/wp-json/wp/v2/media")).text) as {
    source_url: string;
    media_details: { sizes: Record<string, { source_url: string }> };
  }[];
  const [image] = media;
  const pathOf = (url: string | undefined): string => new URL(url ?? "").pathname;
  const original = pathOf(image?.source_url);
  const scaled = pathOf(image?.media_details.sizes["medium"]?.source_url);
  expect(original).toMatch(/^\/wp-content\/uploads\/\d{4}\/\d\d\/felt\.png$/);
  await supervisor.act("stop", idOf("blog"));
  const served = await visitor.get(original);
  expect([served.status, served.headers["content-type"], served.bytes.equals(PICTURE)]).toEqual([
    200,
    "image/png",
    true,
  ]);
  expect(sizeOfPicture((await visitor.get(scaled)).bytes)).toEqual([300, 225]);
  await supervisor.up(idOf("blog"));
  expect((await visitor.get("/dealing-with-losses/")).status).toBe(200);
});
