/** A daemon with listen=path that fills its bind directory: other daemons still have room for their sockets. */
import { existsSync, mkdirSync, readdirSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { askLine, lineServer } from "./line-server.ts";
import { environmentOf } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let toolbox: Toolbox;
let supervisor: Supervisor;
/** A small file system that holds the bind directories. */
let tree: string | undefined;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  [alice, bob] = [await stage.account("alice"), await stage.account("bob")];
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  const mountPoint = join(supervisor.fastcgiDir, ".bound");
  mkdirSync(mountPoint, { recursive: true });
  await succeed("mount", "-t", "tmpfs", "-o", "mode=0711,size=4m,nr_inodes=2000", "dmhost-test", mountPoint);
  tree = mountPoint;
  await supervisor.start();
});
afterAll(async () => {
  await supervisor?.end("SIGKILL");
  if (tree !== undefined) await succeed("umount", "--lazy", tree);
  await stage.remove();
});

/** Perl that fills its bind directory until there is no room, then makes a file in its home and sleeps. */
const FLOODS: Readonly<Record<string, string>> = {
  files: 'my $i = 0; 1 while open(my $f, ">", "f" . $i++);',
  bytes: 'open(my $f, ">", "f"); 1 while syswrite($f, "x" x 65536);',
  below: 'mkdir "a"; mkdir "a/b"; my $i = 0; 1 while open(my $f, ">", "a/b/f" . $i++);',
  shut: 'mkdir "a", 0300; my $i = 0; 1 while open(my $f, ">", "a/f" . $i++); chmod 0, "a";',
};
const flooder = (kind: string): string =>
  `use File::Basename; chdir dirname($ENV{DM_SOCKET}) or die; ${FLOODS[kind]} open(my $t, ">", "$ENV{HOME}/full-${kind}"); sleep 1000;`;

const hasRoom = (): boolean => {
  const { bavail, ffree } = statfsSync(tree ?? "");
  return bavail > 900 && ffree > 1900;
};

test.each([
  ["files", "more than 64 files"],
  ["bytes", "more than 1 MiB"],
  ["below", "more than 64 files"],
  ["shut", "a directory that cannot be read"],
])(
  "a daemon that fills its bind directory (%s) is killed with a reason, its files are removed and other daemons start",
  async (kind, excess) => {
    const id = `${bob.name}/flood-${kind}`;
    bob.write(`flood-${kind}.pl`, flooder(kind));
    bob.writeConf(`flood-${kind}`, `start = exec perl ~/flood-${kind}.pl`, "listen = path", "max-retries = 0");
    await supervisor.rescan();
    const full = join(bob.home, `full-${kind}`);
    await until(
      "a full file system or the daemon's failure",
      async () => existsSync(full) || (await supervisor.status(id)).state === "failed",
    );

    const serve = lineServer(alice);
    alice.writeConf(`own-${kind}`, serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
    alice.writeConf(`held-${kind}`, serve("3"), "listen = http", "ready-after = 0.1");
    await supervisor.rescan();
    for (const name of [`own-${kind}`, `held-${kind}`]) {
      const { pid } = await supervisor.reaches(`${alice.name}/${name}`, "running");
      const socket = join(supervisor.fastcgiDir, alice.name, `${name}.sock`);
      await until("an answer from the daemon", async () => (await askLine(socket).catch(() => undefined))?.pid === pid);
    }

    const { reason } = await supervisor.reaches(id, "failed");
    expect(reason).toMatch(`killed because its bind directory holds ${excess};`);
    const explained = await bob.run([toolbox.node, toolbox.dmctl, "explain", `flood-${kind}`]);
    expect(explained.stdout).toContain(excess);
    expect(explained.stdout).toContain("Keep its files elsewhere");
    await until("room on the file system", hasRoom);
    for (const name of [`own-${kind}`, `held-${kind}`]) await supervisor.act("stop", `${alice.name}/${name}`);
  },
);

test("a daemon with a few files beside its socket goes on, also under the next supervisor", async () => {
  const files = 'cd "$(dirname "$DM_SOCKET")" && mkdir -m 700 own && echo $$ >pid && : >own/lock && ln -s / root';
  const serve = lineServer(alice)("$DM_SOCKET").replace("exec", `(${files}); exec`);
  alice.writeConf("tidy", serve, "listen = path", "ready-after = 0.1");
  await supervisor.rescan();
  const id = `${alice.name}/tidy`;
  const { pid } = await supervisor.reaches(id, "running");
  const directory = dirname(environmentOf(pid)["DM_SOCKET"] ?? "");
  await until("the daemon's files", () => readdirSync(directory).length === 4);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect((await supervisor.status(id)).pid).toBe(pid);

  await supervisor.end("SIGKILL");
  await supervisor.start();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect((await supervisor.status(id)).pid).toBe(pid);
  // The limit is enforced on an adopted run, too.
  await alice.run(["sh", "-c", `cd ${directory} && i=0 && while [ $i -lt 100 ]; do i=$((i+1)); : >$i; done`]);
  const after = await supervisor.reaches(id, "running", pid);
  expect((await supervisor.status(id)).reason).toBe("");
  expect(after.respawns).toBe(1);
  await supervisor.act("stop", id);
});
