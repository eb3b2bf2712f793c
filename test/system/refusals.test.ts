/**
 * Hostile conf files (docs/explanation/security.md#2): each is refused with its path and a reason, and no other owner is
 * affected.
 */
import { chmodSync, chownSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { isRunning } from "./proc.ts";
import { succeed } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let mallory: Account;
let supervisor: Supervisor;
let innocent: number;

const directory = (): string => join(mallory.home, ".daemon-manager/daemons");
const idOf = (name: string): string => `${mallory.name}/${name}`;
const FINE = "start = exec sleep 1000\n";

beforeAll(async () => {
  stage = await Stage.make();
  [alice, mallory] = [await stage.account("alice"), await stage.account("mallory")];
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, mallory.name]);
  alice.writeConf("innocent", FINE);
  mallory.writeConf("before", FINE);
  await supervisor.start();
  innocent = (await supervisor.reaches(`${alice.name}/innocent`, "running")).pid;
});
afterAll(() => stage.remove());

const written =
  (spoil: (path: string) => void) =>
  (path: string): void => {
    writeFileSync(path, FINE);
    spoil(path);
  };

/** Each makes a file at `path` in Mallory's conf directory, which belongs to Mallory unless it is `foreign` or `roots`. */
const ATTACKS: readonly [name: string, make: (path: string) => unknown, reason: RegExp][] = [
  ["fifo", (path) => succeed("mkfifo", path), /: it is not a regular file$/],
  ["shadow", (path) => symlinkSync("/etc/shadow", path), /: it is a symbolic link; put the file itself here$/],
  ["zero", (path) => symlinkSync("/dev/zero", path), /: it is a symbolic link/],
  ["dangling", (path) => symlinkSync("/nonexistent", path), /: it is a symbolic link/],
  [
    "linked",
    (path) => linkSync(mallory.write("elsewhere", FINE), path),
    /: it has 2 hard links; replace it by a copy$/,
  ],
  ["directory", (path) => mkdirSync(path), /: it is not a regular file$/],
  ["huge", written((path) => truncateSync(path, 2 ** 30)), /: it has 1073741824 bytes, at most 65536 are read$/],
  ["foreign", written((path) => chownSync(path, alice.uid, alice.gid)), /: it belongs to uid \d+, not to /],
  ["roots", written((path) => chownSync(path, 0, 0)), /: it belongs to uid 0, not to /],
  [
    "shared",
    written((path) => chmodSync(path, 0o664)),
    /may write to it \(mode 0664\); run: chmod go-w \/.*\/shared\.conf$/,
  ],
  ["closed", written((path) => chmodSync(path, 0)), /: cannot be opened: EACCES$/],
  ["binary", (path) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00])), /: its line 1 is not UTF-8 text$/],
  [
    "wrong",
    (path) => writeFileSync(path, `${FINE}output = maybe\n`),
    /wrong\.conf:2: output: expected log or discard, found "maybe"$/,
  ],
  ["empty", (path) => writeFileSync(path, ""), /empty\.conf: there is no "start" line/],
];

test.each(ATTACKS)(
  "a hostile conf file (%s) is invalid, and the problem names path and reason",
  async (name, make, reason) => {
    const path = join(directory(), `${name}.conf`);
    await make(path);
    if (!["foreign", "roots"].includes(name))
      await succeed("chown", "--no-dereference", `${mallory.uid}:${mallory.gid}`, path);
    const { found, started, problems } = await supervisor.rescan();
    expect([found, started]).toEqual([[idOf(name)], []]);
    const ownProblems = problems.filter((problem) => problem.startsWith(path));
    expect(ownProblems).toEqual([expect.stringMatching(reason)]);
    const status = await supervisor.status(idOf(name));
    expect([status.state, status.pid, status.reason]).toEqual(["invalid", 0, ownProblems[0]]);
    const { ok, reason: refusal } = await supervisor.act("start", idOf(name));
    expect([ok, refusal]).toEqual([false, `cannot start "${idOf(name)}": ${ownProblems[0]}`]);
    await succeed("rm", "-rf", path);
    expect((await supervisor.rescan()).removed).toEqual([idOf(name)]);
  },
);

test("conf files with invalid names are reported with escaped characters and not loaded", async () => {
  const names = [
    Buffer.from("two\nlines.conf"),
    Buffer.from("\u001b[31mred.conf"),
    Buffer.from([0xff, ...Buffer.from(".conf")]),
  ];
  names.push(
    Buffer.from("-rf.conf"),
    Buffer.from("с.conf"),
    Buffer.from(`${"a".repeat(65)}.conf`),
    Buffer.from("a b.conf"),
  );
  const silent = ["...conf", ".conf", ".hidden.conf", "notes.txt", "draft.conf~"].map((name) => Buffer.from(name));
  for (const name of [...names, ...silent]) {
    const path = Buffer.concat([Buffer.from(`${directory()}/`), name]);
    writeFileSync(path, FINE);
    chownSync(path, mallory.uid, mallory.gid);
  }
  const { found, problems } = await supervisor.rescan();
  expect(found).toEqual([]);
  expect(problems).toHaveLength(names.length);
  expect(problems.join("\n")).toContain(`${directory()}/two\\nlines.conf: a daemon cannot have this name`);
  expect(problems.join("\n")).toContain("\\u001b[31mred.conf");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test asserts that there are none
  for (const problem of problems) expect(problem).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  await succeed("find", directory(), "-type", "f", "!", "-name", "before.conf", "-delete");
});

test("a conf file that becomes invalid leaves its running daemon as it is", async () => {
  const { pid } = await supervisor.reaches(idOf("before"), "running");
  mallory.writeConf("before", "start = exec sleep 1000", "listen = everywhere");
  expect((await supervisor.rescan()).changed).toEqual([idOf("before")]);
  const restart = await supervisor.act("restart", idOf("before"));
  expect(restart.ok).toBe(false);
  expect(restart.reason).toMatch(/before\.conf:2: listen: expected none, fastcgi, .*, found "everywhere"$/);
  expect(await supervisor.status(idOf("before"))).toMatchObject({ state: "running", pid });
  mallory.writeConf("before", FINE.trim());
  await supervisor.rescan();
});

test.each([
  ["the home", () => mallory.home],
  ["the conf directory", directory],
  ["its parent directory", () => join(mallory.home, ".daemon-manager")],
])("no conf file is loaded while others may write to %s, and running daemons go on", async (_, where) => {
  const { pid } = await supervisor.reaches(idOf("before"), "running");
  mallory.writeConf("planted", FINE);
  chmodSync(where(), 0o770);
  const { found, removed, problems } = await supervisor.rescan();
  expect([found, removed]).toEqual([[], []]);
  expect(problems).toEqual([
    expect.stringContaining(
      `${where()}: others than ${mallory.name} may write to it (mode 0770); run: chmod go-w ${where()}`,
    ),
  ]);
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(idOf("before"), "running", pid);
  expect((await supervisor.act("restart", idOf("before"))).ok).toBe(false);
  chmodSync(where(), 0o750);
  await succeed("rm", join(directory(), "planted.conf"));
  await supervisor.rescan();
});

test("a conf directory that is a link is not followed", async () => {
  const elsewhere = mallory.makeDirectory("elsewhere.d");
  writeFileSync(join(elsewhere, "planted.conf"), FINE);
  await mallory.run(["sh", "-c", `mv ${directory()} ${directory()}.away && ln -s ${elsewhere} ${directory()}`]);
  const { found, problems } = await supervisor.rescan();
  expect(found).toEqual([]);
  expect(problems).toEqual([`${directory()}: not a directory (links are not followed)`]);
  await mallory.run(["sh", "-c", `rm ${directory()} && mv ${directory()}.away ${directory()}`]);
  await supervisor.rescan();
});

test("the 257th conf file of an owner is not loaded and displaces no loaded one", async () => {
  const [many, running] = [await stage.account("many"), "zz"];
  many.writeConf(running, "start = exec sleep 1000");
  for (let number = 1; number < 256; number += 1) many.writeConf(`m${number}`, FINE, "autostart = no");
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, mallory.name, many.name]);
  expect((await supervisor.rescan()).found.filter((id) => id.startsWith(many.name))).toHaveLength(256);
  const { pid } = await supervisor.reaches(`${many.name}/${running}`, "running");
  many.writeConf("aa", "start = exec sleep 1000");
  const { found, removed, problems } = await supervisor.rescan();
  expect([found, removed]).toEqual([[], []]);
  expect(problems).toContain(`${many.home}/.daemon-manager/daemons: 257 conf files, only 256 are loaded`);
  expect((await supervisor.act("restart", `${many.name}/${running}`)).ok).toBe(true);
  const last = await supervisor.act("stop", `${many.name}/${running}`);
  expect([last.daemon.state, isRunning(pid)]).toEqual(["stopped", false]);
  const { pid: next } = await supervisor.up(`${many.name}/${running}`);
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect(await supervisor.status(`${many.name}/${running}`)).toMatchObject({ state: "running", pid: next });
  await many.run(["rm", `${many.home}/${many.conf("m7")}`]);
  expect((await supervisor.rescan()).removed).toEqual([`${many.name}/m7`]);
});

test("at most 256 conf files of an owner are loaded", async () => {
  for (let index = 0; index < 300; index += 1) mallory.writeConf(`many${index}`, FINE.trim(), "autostart = no");
  const { found, problems } = await supervisor.rescan();
  expect(found.length).toBeLessThanOrEqual(256);
  expect(problems).toEqual([`${directory()}: 301 conf files, only 256 are loaded`]);
});

test("another owner's daemon runs unaffected through all attacks", async () => {
  expect(isRunning(innocent)).toBe(true);
  expect(await supervisor.status(`${alice.name}/innocent`)).toMatchObject({
    state: "running",
    pid: innocent,
    respawns: 0,
  });
});
