/** Hostile service directories: each is refused with path and reason, nothing in it runs, and no other owner is affected. */
import { chmodSync, chownSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { DaemonList } from "@dmhost/contract";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { isRunning, nameOf, numbersOf, processesOf, statusOf } from "../proc.ts";
import { succeed, until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { writeService } from "./service-tree.ts";

const SLEEP = "#!/bin/sh\nexec sleep 1000\n";

let stage: Stage;
let alice: Account;
let mallory: Account;
let worker: Account;
let supervisor: Supervisor;
let innocent: number;

beforeAll(async () => {
  stage = await Stage.make();
  [alice, mallory, worker] = [
    await stage.account("alice"),
    await stage.account("mallory"),
    await stage.account("worker"),
  ];
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${worker.name}`, mallory.name]);
  writeService(join(alice.home, "service/innocent"), { run: SLEEP }, alice);
  chmodSync(alice.home, 0o755);
  await supervisor.start();
  innocent = (await supervisor.reaches(`${alice.name}/innocent`, "running")).pid;
});
afterAll(() => stage.remove());
afterEach(() => {
  // The planted programs must not have run, as any account.
  expect(processesOf(worker.uid)).toEqual([]);
  for (const name of readdirSync(mallory.home)) if (name.startsWith("stolen")) throw new Error(`${name} was made`);
});

const directory = (): string => join(mallory.home, "service");
const idOf = (name: string): string => `${mallory.name}/${name}`;
const HOSTILE = (): string => `#!/bin/sh\n>${mallory.home}/stolen\nexec sleep 1000\n`;

/** Each attack changes Mallory's service directory at `path`, which has a valid run before. */
const ATTACKS: readonly [name: string, spoil: (path: string) => unknown, reason: RegExp][] = [
  [
    "linkedrun",
    (path) => {
      rmSync(join(path, "run"));
      symlinkSync("/bin/sh", join(path, "run"));
    },
    /linkedrun\/run: it is a symbolic link; put the file itself here$/,
  ],
  [
    "fiforun",
    async (path) => {
      rmSync(join(path, "run"));
      await succeed("mkfifo", "-m", "755", join(path, "run"));
      chownSync(join(path, "run"), mallory.uid, mallory.gid);
    },
    /fiforun\/run: it is not a regular file$/,
  ],
  [
    "dirrun",
    (path) => {
      rmSync(join(path, "run"));
      mkdirSync(join(path, "run"));
    },
    /dirrun\/run: it is not a regular file$/,
  ],
  ["rootsrun", (path) => chownSync(join(path, "run"), 0, 0), /rootsrun\/run: it belongs to uid 0, not to /],
  [
    "foreignrun",
    (path) => chownSync(join(path, "run"), alice.uid, alice.gid),
    /foreignrun\/run: it belongs to uid \d+/,
  ],
  [
    "sharedrun",
    (path) => chmodSync(join(path, "run"), 0o775),
    /sharedrun\/run: accounts other than .* \(mode 0775\); run: chmod go-w \/.*\/sharedrun\/run$/,
  ],
  ["plainrun", (path) => chmodSync(join(path, "run"), 0o644), /plainrun\/run: it is not executable; chmod \+x it$/],
  [
    "shareddir",
    (path) => chmodSync(path, 0o777),
    /shareddir: accounts other than .* \(mode 0777\); run: chmod go-w \/.*\/shareddir$/,
  ],
  ["foreigndir", (path) => chownSync(path, alice.uid, alice.gid), /foreigndir: belongs to uid \d+, not to /],
  [
    "linkedlog",
    (path) => symlinkSync(join(alice.home, "service"), join(path, "log")),
    /linkedlog\/log: not a directory \(links are not followed\)$/,
  ],
  [
    "linkedlogrun",
    (path) => {
      mallory.makeDirectory("service/linkedlogrun/log");
      symlinkSync("/bin/cat", join(path, "log/run"));
    },
    /linkedlogrun\/log\/run: it is a symbolic link/,
  ],
  [
    "linkedfinish",
    (path) => symlinkSync("/bin/true", join(path, "finish")),
    /linkedfinish\/finish: it is a symbolic link/,
  ],
  ["linkedconf", (path) => symlinkSync("/etc/shadow", join(path, "conf")), /linkedconf\/conf: it is a symbolic link/],
  [
    "hugeconf",
    (path) => {
      writeService(path, { conf: "" }, mallory);
      truncateSync(join(path, "conf"), 2 ** 30);
    },
    /hugeconf\/conf: it has 1 GiB, at most 64 KiB are read$/,
  ],
  [
    "linkeduser",
    (path) => {
      mallory.makeDirectory("service/linkeduser/env");
      symlinkSync("/etc/shadow", join(path, "env/USER"));
    },
    /linkeduser\/env\/USER: it is a symbolic link/,
  ],
  [
    "sharedenv",
    (path) => {
      writeService(path, { "env/USER": mallory.name }, mallory);
      chmodSync(join(path, "env"), 0o777);
    },
    /sharedenv\/env: accounts other than .* \(mode 0777\)/,
  ],
  [
    "zerouser",
    (path) => writeService(path, { "env/USER": "0\n" }, mallory),
    /zerouser\/env\/USER:1: expected the name of an account.*, found "0"$/,
  ],
  [
    "escaped",
    (path) => writeService(path, { "env/USER": "a\u001b[31m;id\n" }, mallory),
    /escaped\/env\/USER:1: expected .*, found "a\\u\{1b\}\[31m;id"$/,
  ],
  [
    "toanothers",
    (path) => {
      rmSync(path, { recursive: true });
      symlinkSync(join(alice.home, "service/innocent"), path);
    },
    /toanothers: it is a link, and .*: belongs to uid \d+, not to /,
  ],
  [
    "toshared",
    (path) => {
      const shared = join(stage.directory, "shared");
      mkdirSync(shared);
      chmodSync(shared, 0o777);
      renameSync(path, join(shared, "service"));
      symlinkSync(join(shared, "service"), path);
    },
    /toshared: it is a link, and .*: accounts other than .* \(mode 0777\)/,
  ],
];

test.each(ATTACKS)(
  "a hostile service directory (%s) is invalid, and the problem names path and reason",
  async (name, spoil, reason) => {
    const path = writeService(join(directory(), name), { run: HOSTILE() }, mallory);
    await spoil(path);
    try {
      const { problems } = await supervisor.rescan();
      expect(problems).toEqual([expect.stringMatching(reason)]);
      const { state, pid } = await supervisor.status(idOf(name));
      expect([state, pid]).toEqual(["invalid", 0]);
      expect((await supervisor.act("start", idOf(name))).ok).toBe(false);
    } finally {
      rmSync(path, { recursive: true, force: true });
      await supervisor.rescan();
    }
  },
);

test.each([
  ["root", () => "root"],
  ["an account that is not granted", () => worker.name],
  ["another owner", () => alice.name],
  ["an unknown account", () => "no-such-account"],
])("a service whose env/USER names %s is forbidden, and the reason says why", async (_, user) => {
  const path = writeService(join(directory(), "greedy"), { run: HOSTILE(), "env/USER": user() }, mallory);
  await supervisor.rescan();
  const { state, reason, pid } = await supervisor.status(idOf("greedy"));
  expect([state, pid]).toEqual(["forbidden", 0]);
  expect(reason).toMatch(
    new RegExp(`^it may not run as "${user()}": (no line of \\[runs_as\\] lets|there is no account)`),
  );
  const { ok, advice } = await supervisor.act("start", idOf("greedy"));
  expect([ok, advice]).toEqual([false, expect.stringContaining(`Correct ${path}/env/USER (or user= in its conf)`)]);
  rmSync(path, { recursive: true });
  await supervisor.rescan();
});

test("a service directory that is replaced by a link to another owner's cannot be restarted, and its daemon goes on", async () => {
  const path = writeService(join(directory(), "swapped"), { run: SLEEP }, mallory);
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("swapped"), "running");
  renameSync(path, join(mallory.home, "swapped.old"));
  symlinkSync(join(alice.home, "service/innocent"), path);
  const { ok, reason } = await supervisor.act("restart", idOf("swapped"));
  expect(ok).toBe(false);
  expect(reason).toMatch(/swapped: it is a link, and .*: belongs to uid \d+, not to /);
  expect(await supervisor.status(idOf("swapped"))).toMatchObject({ state: "running", pid });
  await supervisor.act("stop", idOf("swapped"));
  rmSync(path);
  await supervisor.rescan();
});

test("a log/run runs with its account's ids and without capabilities", async () => {
  const path = writeService(
    join(directory(), "logger"),
    { run: SLEEP, "log/run": "#!/bin/sh\nexec sleep 4242\n" },
    mallory,
  );
  await supervisor.rescan();
  await supervisor.reaches(idOf("logger"), "running");
  const logger = await until("the logger", () =>
    processesOf(mallory.uid).find((pid) => nameOf(pid) === "sleep" && pid !== undefined),
  );
  expect(numbersOf(logger, "Uid")).toEqual(Array(4).fill(mallory.uid));
  expect(numbersOf(logger, "Groups")).toEqual([mallory.gid]);
  expect(statusOf(logger).get("NoNewPrivs")).toBe("1");
  expect(statusOf(logger).get("CapBnd")).toBe("0000000000000000");
  await supervisor.act("stop", idOf("logger"));
  // This logger does not exit at the end of its input.
  await until("every process of the account to end", () => processesOf(mallory.uid).length === 0);
  rmSync(path, { recursive: true });
  await supervisor.rescan();
});

test("a log directory that cannot be watched is reported, and other service directories are still watched", async () => {
  const path = writeService(
    join(directory(), "shut"),
    { run: SLEEP, "log/run": "#!/bin/sh\nexec cat >/dev/null\n" },
    mallory,
  );
  chmodSync(join(path, "log"), 0o300);
  // The watches are renewed only when the earlier changes have settled.
  const problems = await until("a problem in the result of rescan", async () => {
    const { problems: found } = await supervisor.rescan();
    return found.length > 0 && found;
  });
  expect(problems).toEqual([`${path}/log: cannot be watched (EACCES), so only a rescan finds changes in it`]);
  writeService(join(directory(), "unasked"), { run: SLEEP }, mallory);
  await until("a daemon that is loaded without a rescan", async () => {
    const { status } = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("unasked"))}`);
    return status === 200;
  });
  for (const name of ["shut", "unasked"]) {
    await supervisor.act("stop", idOf(name));
    rmSync(join(directory(), name), { recursive: true });
  }
  expect((await supervisor.rescan()).problems).toEqual([]);
});

test("invalid service names are reported with their control characters escaped", async () => {
  mallory.makeDirectory("service");
  for (const name of ["two\nlines", "\u001b[31mred", "a b", "-rf"]) {
    writeService(join(directory(), name), { run: HOSTILE() }, mallory);
  }
  const { found, problems } = await supervisor.rescan();
  expect(found).toEqual([]);
  expect(problems).toHaveLength(4);
  expect(problems.join("\n")).toContain(`${directory()}/two\\nlines: a daemon cannot have this name`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test asserts that there are none
  for (const problem of problems) expect(problem).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  rmSync(directory(), { recursive: true });
  await supervisor.rescan();
});

test.each([
  [
    "is a link to another owner's",
    () => symlinkSync(join(alice.home, "service"), directory()),
    /: not a directory \(links/,
  ],
  [
    "belongs to another account",
    () => chownSync(mallory.makeDirectory("service"), alice.uid, alice.gid),
    /: belongs to uid \d+, not/,
  ],
  [
    "may be written by others",
    () => chmodSync(mallory.makeDirectory("service"), 0o777),
    /\(mode 0777\); run: chmod go-w \/.*\/service/,
  ],
])("no service is loaded when ~/service %s", async (_, make, reason) => {
  make();
  const { found, problems } = await supervisor.rescan();
  expect(found).toEqual([]);
  expect(problems).toEqual([expect.stringMatching(reason)]);
  rmSync(directory(), { recursive: true, force: true });
  expect((await supervisor.rescan()).problems).toEqual([]);
});

test("only the first 4096 directories in ~/service are examined, with or without a run", async () => {
  mallory.makeDirectory("service");
  for (let index = 0; index < 4096; index += 1) {
    const path = join(directory(), `empty${index}`);
    mkdirSync(path);
    chownSync(path, mallory.uid, mallory.gid);
  }
  writeService(join(directory(), "before"), { run: SLEEP, down: "" }, mallory);
  writeService(join(directory(), "zlast"), { run: SLEEP, down: "" }, mallory);
  const { found, problems } = await supervisor.rescan();
  expect([found, problems]).toEqual([
    [idOf("before")],
    [`${directory()}: 4098 directories, only the first 4096 are read`],
  ]);
  rmSync(directory(), { recursive: true });
  await supervisor.rescan();
});

test("root's service directories load no file or link that belongs to a tenant", async () => {
  const services = join(stage.directory, "root-service");
  writeService(join(services, "planted"), { run: HOSTILE() });
  chownSync(join(services, "planted/run"), mallory.uid, mallory.gid);
  writeService(join(mallory.home, "lure"), { run: HOSTILE() }, mallory);
  symlinkSync(join(mallory.home, "lure"), join(services, "lured"));
  const { problems } = await supervisor.rescan();
  expect(problems).toEqual([
    expect.stringMatching(/lured: it is a link, and .*: belongs to uid \d+, not to root/),
    expect.stringMatching(/planted\/run: it belongs to uid \d+, not to root/),
  ]);
  rmSync(services, { recursive: true });
  await supervisor.rescan();
});

test("at most 256 daemons of one owner are loaded, conf files and service directories together", async () => {
  mallory.writeConf("one", "start = exec sleep 1000", "autostart = no");
  for (let index = 0; index < 300; index += 1) {
    writeService(join(directory(), `many${index}`), { run: SLEEP, down: "" }, mallory);
  }
  // The watch may have loaded some of them already.
  const { problems } = await supervisor.rescan();
  const { daemons } = (await supervisor.ask("GET", "/v1/daemons")).body as DaemonList;
  expect(daemons.filter(({ owner }) => owner === mallory.name)).toHaveLength(256);
  expect(problems).toEqual([
    `${directory()}: more than 255 service directories beside conf files; the rest are not loaded`,
  ]);
});

test("another owner's service runs unaffected through all attacks", async () => {
  expect(isRunning(innocent)).toBe(true);
  expect(await supervisor.status(`${alice.name}/innocent`)).toMatchObject({ pid: innocent, respawns: 0 });
});
