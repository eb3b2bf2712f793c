/**
 * `dmctl edit` among tenants, managers and root: who may, what is made, and what hostile owners put in the way
 * (docs/explanation/security.md#16).
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { ConfFile } from "@dmhost/contract";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { type Ended, run, succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let helper: Account;
let supervisor: Supervisor;
/** Where root's editor and drafts are. */
let roots: string;

const FINE = "start = exec sleep 1000";

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  helper = await stage.account("helper");
  roots = join(stage.directory, "roots");
  mkdirSync(roots, { mode: 0o700 });
  supervisor = stage.supervisor("main", [
    "[runs_as]",
    alice.name,
    bob.name,
    "[manages]",
    `${helper.name}: ${alice.name}`,
    `${alice.name}: ${bob.name}`,
  ]);
  alice.writeConf("web", FINE, "export PASSWORD = secret");
  bob.writeConf("shop", FINE);
  await supervisor.start();
  await supervisor.reaches(`${alice.name}/web`, "running");
});
afterAll(() => stage.remove());
afterEach(async () => {
  for (const account of [alice, bob]) await succeed("rm", "-rf", directoryOf(account), `${account.home}/real`);
  alice.writeConf("web", FINE, "export PASSWORD = secret");
  bob.writeConf("shop", FINE);
  await succeed("rm", "-f", ...[alice, helper].map(({ home }) => join(home, "ran")));
  await supervisor.rescan();
  // What runs stays listed without its file.
  await supervisor.act("stop", `${bob.name}/web`);
});

const directoryOf = (account: Account): string => join(account.home, ".daemon-manager/daemons");
const pathOf = (account: Account, name: string): string => join(account.home, account.conf(name));
const textOf = (account: Account, name: string): string => readFileSync(pathOf(account, name), "utf8");

/** Runs `dmctl edit` as an account, with this line of sh as the editor, which leaves `ran` beside itself. */
const edit = (account: Account, id: string, script: string): Promise<Ended> => {
  const editor = account.write("editor", `#!/bin/sh\necho >"$HOME/ran"\n${script}\n`, 0o755);
  const env = { EDITOR: editor, TMPDIR: account.makeDirectory("drafts"), DMCTL_SOCKET: supervisor.socket };
  return account.run([toolbox.node, toolbox.dmctl, "edit", id], { env });
};
const editAsRoot = (id: string, script: string): Promise<Ended> => {
  writeFileSync(join(roots, "editor"), `#!/bin/sh\n${script}\n`, { mode: 0o700 });
  const env = { PATH: "/usr/bin:/bin", HOME: roots, EDITOR: join(roots, "editor"), TMPDIR: roots };
  return run([toolbox.node, toolbox.dmctl, id, "edit"], { env: { ...env, DMCTL_SOCKET: supervisor.socket } });
};
/** Whether the account's editor ran since the previous call. */
const editorRan = async (account: Account): Promise<boolean> => {
  const ran = existsSync(join(account.home, "ran"));
  await succeed("rm", "-f", join(account.home, "ran"));
  return ran;
};
const write = (text: string): string => `printf '${text}\\n' >"$1"`;

test("a new file begins as a template, belongs to the owner, and its daemon is started", async () => {
  const { code, stderr } = await edit(alice, "blog", `cp "$1" "$HOME/seen"; ${write(FINE)}`);
  expect([code, stderr]).toEqual([0, `${pathOf(alice, "blog")} is created; its daemon: dmctl status blog\n`]);
  expect(readFileSync(join(alice.home, "seen"), "utf8")).toContain(`# ${alice.name}/blog: a new daemon.`);
  expect(textOf(alice, "blog")).toBe(`${FINE}\n`);
  const { uid, gid, mode, nlink } = lstatSync(pathOf(alice, "blog"));
  expect([uid, gid, mode & 0o777, nlink]).toEqual([alice.uid, alice.gid, 0o600, 1]);
  expect(readdirSync(directoryOf(alice)).sort()).toEqual(["blog.conf", "web.conf"]);
  await supervisor.reaches(`${alice.name}/blog`, "running");
});

test.each([
  ["left as it is", "true"],
  ["emptied", ': >"$1"'],
  ["wrong", write("strat = true")],
  ["given up with an error", `${write(FINE)}; exit 1`],
])("a new file whose text is %s is not created", async (_, script) => {
  await edit(alice, "blog", script);
  expect(readdirSync(directoryOf(alice))).toEqual(["web.conf"]);
});

test("a missing conf directory is created with the rights of the owner", async () => {
  await succeed("rm", "-rf", join(bob.home, ".daemon-manager"));
  expect((await editAsRoot(`${bob.name}/first`, write(FINE))).code).toBe(0);
  const { uid, mode } = statSync(directoryOf(bob));
  expect([uid, mode & 0o777, lstatSync(pathOf(bob, "first")).uid]).toEqual([bob.uid, 0o750, bob.uid]);
});

test.each(["a b", "../web", "-x", ".hidden", "a".repeat(65), "with\nline", "al/ice/web", `NAME/..`])(
  "the name %j is refused before the editor runs",
  async (name) => {
    const { code, stderr } = await edit(alice, name.replace("NAME", alice.name), write(FINE));
    expect([code, stderr, await editorRan(alice)]).toEqual([2, expect.stringMatching(/./), false]);
    expect(readdirSync(directoryOf(alice))).toEqual(["web.conf"]);
  },
);

test("only root creates files for others, and a refusal does not reveal what exists", async () => {
  const stranger = "dmt-nobody-of-that-name";
  const told = async (account: Account, id: string): Promise<unknown[]> => {
    const { code, stderr } = await edit(account, id, write(FINE));
    return [code, stderr.replaceAll(id, "ID"), await editorRan(account)];
  };
  const there = await told(bob, `${alice.name}/web`);
  expect(there).toEqual([3, expect.stringContaining('there is no daemon "ID"'), false]);
  expect([await told(bob, `${alice.name}/none`), await told(bob, `${stranger}/none`)]).toEqual([there, there]);
  // Not even one who manages them; nor has a manager who runs nothing a place for files of their own.
  expect((await told(helper, `${alice.name}/none`)).slice(0, 1)).toEqual([3]);
  expect((await told(helper, "none")).slice(0, 1)).toEqual([3]);
  expect([await editorRan(helper), readdirSync(directoryOf(alice))]).toEqual([false, ["web.conf"]]);
  expect((await editAsRoot(`${stranger}/none`, write(FINE))).code).toBe(3);
});

test("a short name means the caller's own daemon, and a full id always creates the caller's own file", async () => {
  // Bob does not know that Alice has a daemon of this name.
  expect((await edit(bob, "web", write(FINE))).code).toBe(0);
  expect(textOf(bob, "web")).toBe(`${FINE}\n`);
  const before = textOf(bob, "shop");
  // Alice manages Bob, so "shop" means his.
  expect((await edit(alice, "shop", write("start = id"))).stderr).toContain("does not own it");
  expect((await edit(alice, `${alice.name}/shop`, write(FINE))).code).toBe(0);
  expect([textOf(bob, "shop"), textOf(alice, "shop")]).toEqual([before, `${FINE}\n`]);
});

test("a manager can neither read nor write a file, and is refused before the editor runs", async () => {
  const { code, stdout, stderr } = await edit(helper, "web", write("start = id"));
  expect([code, stdout, await editorRan(helper)]).toEqual([3, "", false]);
  expect(stderr).toContain(`only ${alice.name} and root may read or change its file`);
  const explained = await helper.run([toolbox.node, toolbox.dmctl, "explain", "web"], {
    env: { DMCTL_SOCKET: supervisor.socket },
  });
  expect([explained.code, explained.stdout]).toEqual([0, expect.not.stringContaining("secret")]);
  expect(explained.stdout).toContain("export PASSWORD");
});

test("a file that was changed meanwhile is not overwritten, and the draft is kept", async () => {
  const theirs = "start = exec sleep 2000";
  const { code, stderr } = await edit(
    alice,
    "web",
    `${write("start = id")}; echo '${theirs}' >${pathOf(alice, "web")}`,
  );
  expect([code, stderr]).toEqual([1, expect.stringContaining("was changed meanwhile, so nothing was written")]);
  expect(textOf(alice, "web")).toBe(`${theirs}\n`);
  expect(readFileSync(/kept in (.*)\n/.exec(stderr)?.[1] ?? "", "utf8")).toBe("start = id\n");
});

test.each([
  ["was made meanwhile", "blog", (path: string) => `echo theirs >${path}`, "theirs\n"],
  ["is gone meanwhile", "web", (path: string) => `rm ${path}`, undefined],
])("a file that %s is not written", async (_, name, spoil, left) => {
  const path = pathOf(alice, name);
  const { code, stderr } = await edit(alice, name, `${write(FINE)}; ${spoil(path)}`);
  expect([code, stderr]).toEqual([1, expect.stringContaining("was changed meanwhile")]);
  expect(existsSync(path) ? readFileSync(path, "utf8") : undefined).toBe(left);
});

test("a text of 64 KiB is read and written completely, however JSON escapes it", async () => {
  const most = 65_536;
  const program = `{ echo '${FINE}'; head -c ${most - FINE.length - 1} /dev/zero | tr '\\0' '\\n'; } >"$1"`;
  expect((await edit(alice, "blog", program)).code).toBe(0);
  expect(statSync(pathOf(alice, "blog")).size).toBe(most);
  expect((await edit(alice, "blog", 'printf "\\r\\n" >>"$1"')).stderr).toContain("65538 B");
  expect(statSync(pathOf(alice, "blog")).size).toBe(most);
});

test("lines that end with CR LF are written unchanged", async () => {
  expect((await edit(alice, "web", `printf '${FINE}\\r\\noutput = log\\r\\n' >"$1"`)).code).toBe(0);
  expect(textOf(alice, "web")).toBe(`${FINE}\r\noutput = log\r\n`);
});

test("a conf directory that its owner cannot write is reported, and nothing is left in it", async () => {
  chmodSync(directoryOf(alice), 0o550);
  const { code, stderr } = await edit(alice, "blog", write(FINE));
  chmodSync(directoryOf(alice), 0o750);
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining(`${pathOf(alice, "blog")} cannot be written by ${alice.name}: EACCES: permission denied\n`),
  ]);
  expect(readdirSync(directoryOf(alice))).toEqual(["web.conf"]);
});

const BAIT = "start = bait\n";

/** What Alice puts at the place of her file; `bait` is a file of Bob's that she can see. */
const TRAPS: readonly [name: string, trap: (path: string, bait: string) => string, reason: RegExp][] = [
  ["a link to another's file", (path, bait) => `rm ${path}; ln -s ${bait} ${path}`, /symbolic link/],
  ["a link to a file of root's", (path) => `rm ${path}; ln -s /etc/shadow ${path}`, /symbolic link/],
  ["a FIFO", (path) => `rm ${path}; mkfifo ${path}`, /not a regular file/],
  ["a directory", (path) => `rm ${path}; mkdir ${path}`, /not a regular file/],
  ["a hard link", (path) => `ln ${path} ${path}~`, /hard links/],
  [
    "in a directory that is a link to another's",
    (path, bait) => `mv ${dirname(path)} ~/real; ln -s ${dirname(bait)} ${dirname(path)}`,
    /links are not followed/,
  ],
];

const layTrap = async (script: (path: string, bait: string) => string): Promise<string> => {
  const bait = bob.writeConf("web", BAIT.trim());
  for (const path of [bob.home, dirname(directoryOf(bob)), directoryOf(bob)]) chmodSync(path, 0o755);
  const laid = await alice.run(["sh", "-c", script(pathOf(alice, "web"), bait)]);
  expect(laid).toMatchObject({ code: 0, stderr: "" });
  return bait;
};
const expectUntouched = (bait: string): void => {
  expect(readFileSync(bait, "utf8")).toBe(BAIT);
  expect(readdirSync(dirname(bait)).sort()).toEqual(["shop.conf", "web.conf"]);
  expect([lstatSync(bait).uid, lstatSync("/etc/shadow").uid]).toEqual([bob.uid, 0]);
};

test.each(TRAPS)("root does not edit a file that is %s", async (_, trap, reason) => {
  const bait = await layTrap(trap);
  const { code, stderr } = await editAsRoot(`${alice.name}/web`, `echo >${roots}/ran`);
  expect([code, stderr, existsSync(join(roots, "ran"))]).toEqual([1, expect.stringMatching(reason), false]);
  expectUntouched(bait);
});

test.each(TRAPS)("a file that becomes %s while root edits is not written through", async (_, trap, reason) => {
  const bait = await layTrap(() => "true");
  const lay = join(alice.home, "lay");
  writeFileSync(lay, trap(pathOf(alice, "web"), bait), { mode: 0o755 });
  const become = alice.become.join(" ");
  const { code, stderr } = await editAsRoot(
    `${alice.name}/web`,
    `${write("start = exec sleep 3000")}\nHOME=${alice.home} ${become} sh ${lay}`,
  );
  expect([code, stderr]).toEqual([1, expect.stringMatching(reason)]);
  expectUntouched(bait);
  expect((await run(["grep", "-r", "sleep 3000", alice.home])).stdout).toBe("");
});

test("only root can read root's draft, and the editor gets no path of a tenant", async () => {
  const look = `echo "$1" >"$HOME/path"; stat -c '%u %a' "$1" "$(dirname "$1")" >"$HOME/modes"; ${write(FINE)}`;
  expect((await editAsRoot(`${alice.name}/web`, look)).code).toBe(0);
  expect(readFileSync(join(roots, "modes"), "utf8")).toBe("0 600\n0 700\n");
  expect(readFileSync(join(roots, "path"), "utf8")).toMatch(new RegExp(`^${roots}/`));
  expect(lstatSync(pathOf(alice, "web")).uid).toBe(alice.uid);
});

test("a supervisor that stops while the editor runs is exit code 4, and the draft is kept", async () => {
  const script = `${write("start = id")}; touch ~/editing; until [ -e ~/gone ]; do sleep 0.05; done`;
  const edited = edit(alice, "web", script);
  await until("the editor", () => existsSync(join(alice.home, "editing")));
  await supervisor.end("SIGKILL");
  alice.write("gone", "");
  const { code, stderr } = await edited;
  await supervisor.start();
  expect([code, stderr]).toEqual([4, expect.stringContaining("no supervisor: nothing listens at")]);
  expect(readFileSync(/kept in (.*)\n/.exec(stderr)?.[1] ?? "", "utf8")).toBe("start = id\n");
});

test("the API refuses a text without the fingerprint of the text that it replaces", async () => {
  const url = `/v1/daemons/${encodeURIComponent(`${alice.name}/web`)}/file`;
  const { text, fingerprint } = (await supervisor.ask("GET", url)).body as ConfFile;
  const put = async (fields: object): Promise<number> => (await supervisor.ask("PUT", url, fields)).status;
  expect([await put({ text }), await put({ text, fingerprint: "" }), await put({ text, fingerprint })]).toEqual([
    400, 409, 200,
  ]);
});
