import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Verdict } from "../../web/ports/web-server.ts";
import { SiteInstaller } from "./site-installer.ts";

let directory: string;
let web: SiteInstaller;
let sockets: Socket[];
let reports: string[];
let offered: string;

const connection = async (): Promise<Socket> => {
  while (!existsSync(join(offered, "listening"))) await new Promise((resolve) => setTimeout(resolve, 5));
  const fd = openSync(offered, "r");
  const socket = connect(`/proc/self/fd/${fd}/installer.sock`).on("error", () => undefined);
  sockets.push(socket);
  await once(socket, "connect");
  closeSync(fd);
  return socket;
};
/** Connects as nginx/site-installer does. */
const installer = async (): Promise<Socket> => {
  const socket = await connection();
  const { promise, resolve } = Promise.withResolvers<void>();
  web.onConnect(resolve);
  socket.write("ready\n");
  await promise;
  return socket;
};
/** Takes one request, and answers it. */
const answer = async (socket: Socket, text: string): Promise<string> => {
  const [request] = (await once(socket, "data")) as [Buffer];
  socket.write(text);
  return request.toString();
};
const ask = async (text: string): Promise<Verdict> => {
  const socket = sockets.at(-1) ?? (await installer());
  const [verdict] = await Promise.all([web.try("# site a/b\n"), answer(socket, text)]);
  return verdict;
};

beforeEach(() => {
  // Longer than the address of a socket may be.
  directory = join(mkdtempSync(join(tmpdir(), "dmhost-sites-")), "x".repeat(100));
  offered = join(directory, "offered");
  mkdirSync(join(directory, "accepted"), { recursive: true });
  [sockets, reports] = [[], []];
  web = new SiteInstaller(directory, (reason) => reports.push(reason));
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  rmSync(join(directory, ".."), { recursive: true });
});

it("vhosts are sent to the connected site installer, whose answer is returned", async () => {
  expect(web.isConnected).toBe(false);
  expect(await web.try("a")).toEqual({ kind: "failed", reason: "the site installer is not connected" });
  const socket = await installer();
  expect(web.isConnected).toBe(true);
  const request = answer(socket, "accepted\n");
  expect(await web.install("# site a/b\n")).toEqual({ kind: "accepted" });
  const id = /^install ([0-9a-f]{16})\n$/.exec(await request)?.[1];
  expect(readFileSync(join(offered, "sites.conf"), "utf8")).toBe(`# generation ${id}\n# site a/b\n`);
  expect(statSync(join(offered, "installer.sock")).mode & 0o777).toBe(0o600);
  expect(reports).toEqual([]);
});

it.each<[string, Verdict]>([
  [
    'refused 2026/11/29 02:23:49 [emerg] 131#131: unknown directive "x" in /n/temp/candidate/accepted/sites.conf:5',
    {
      kind: "refused",
      complaint: 'unknown directive "x" in /n/temp/candidate/accepted/sites.conf:5',
      line: 4,
    },
  ],
  ["refused open() \u001b[31m", { kind: "refused", complaint: "open() ?[31m", line: undefined }],
  ["refused", { kind: "refused", complaint: "nginx gives no reason", line: undefined }],
  ["failed nginx is not running", { kind: "failed", reason: "nginx is not running" }],
  ["nonsense", { kind: "failed", reason: "the site installer's answer is invalid" }],
])("the site installer's answer %j is understood", async (text, verdict) => {
  expect(await ask(`${text}\n`)).toEqual(verdict);
});

it("the site installer's answer may arrive in pieces", async () => {
  const socket = await installer();
  const verdict = web.try("");
  await once(socket, "data");
  socket.write("acc");
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.write("epted\n");
  expect(await verdict).toEqual({ kind: "accepted" });
});

it("a request fails when the site installer disconnects, restarts, or never ends its answer", async () => {
  const first = await installer();
  const lost = web.try("");
  first.destroy();
  expect(await lost).toEqual({ kind: "failed", reason: "the site installer disconnected" });
  expect(web.isConnected).toBe(false);
  const second = await installer();
  const replaced = web.try("");
  const third = await installer();
  expect(await replaced).toEqual({ kind: "failed", reason: "the site installer restarted" });
  await once(second.resume(), "close");
  const endless = web.try("");
  third.write("x".repeat(10_000));
  expect((await endless).kind).toBe("failed");
});

it("a connection to the site installer's socket that does not say ready replaces no installer", async () => {
  const first = await installer();
  const [silent, other] = [await connection(), await connection()];
  other.write("accepted\n");
  await once(other.resume(), "close");
  silent.destroy();
  const verdict = web.try("");
  expect(await answer(first, "accepted\n")).toMatch(/^try /);
  expect(await verdict).toEqual({ kind: "accepted" });
});

it("a request to the site installer fails when the vhosts cannot be written", async () => {
  await installer();
  mkdirSync(join(offered, "sites.conf"));
  expect(await web.try("")).toEqual({
    kind: "failed",
    reason: expect.stringMatching(/^the vhosts cannot be written for the web server: EISDIR/),
  });
  rmdirSync(join(offered, "sites.conf"));
  expect(await ask("accepted\n")).toEqual({ kind: "accepted" });
});

it("the vhosts in force, and whether they are certain, are read from accepted/", () => {
  expect(web.inForce()).toEqual({ text: "", isCertain: true });
  writeFileSync(join(directory, "accepted/served"), "# generation 1\n# site a/b\nx\n");
  expect(web.inForce()).toEqual({ text: "# site a/b\nx\n", isCertain: true });
  writeFileSync(join(directory, "accepted/reloading"), "");
  expect(web.inForce().isCertain).toBe(false);
});

it("the reason is reported when the site installer's socket cannot be made", () => {
  const elsewhere = join(directory, "none");
  writeFileSync(elsewhere, "");
  new SiteInstaller(elsewhere, (reason) => reports.push(reason));
  expect(reports).toEqual([expect.stringContaining("ENOTDIR")]);
});
