import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseDaemonFile } from "../conf/daemon-file.ts";
import { parseService } from "../conf/service-directory.ts";
import { describeProblem, NAME } from "../core/definition.ts";
import { FakeClock } from "../engine/ports/clock.fake.ts";
import { FakeRecords } from "../engine/ports/records.fake.ts";
import { KnownAccounts } from "../os/accounts/known-accounts.ts";
import { ConfFiles } from "../os/files/conf-files.ts";
import type { CgroupRoot } from "../os/limits/cgroup-root.ts";
import { apiSurroundings } from "./api-surroundings.ts";
import type { Machine } from "./machine.ts";

const { username, uid, gid } = userInfo();
let home = "";
let answers = 0;
let errors: unknown[] = [];
let problem = "";
let records: FakeRecords;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "surroundings-"));
  answers = 0;
  errors = [];
  problem = "";
  records = new FakeRecords();
});
afterEach(() => rmSync(home, { recursive: true }));

const owner = () => ({ name: username, uid, gid, home, shell: "/bin/sh" });
const key = (name = "blog") => ({ owner: owner(), name });
const confPath = (name = "blog"): string => join(home, "daemons", `${name}.conf`);

const make = (
  cgroups: CgroupRoot = { path: "/cg", controllers: new Set(), why: "" },
  shimOutdated = false,
  images?: Machine["images"],
) => {
  const chain = [home, join(home, "daemons")];
  const serviceChain = [home, join(home, "service")];
  const paths = () => ({
    home,
    daemons: join(home, "daemons"),
    chain,
    serviceChain,
    logs: join(home, "logs"),
  });
  const accounts = new KnownAccounts({ users: new Map(), groups: new Map() });
  const rules = { parse: parseDaemonFile, parseService, describe: describeProblem, names: NAME };
  const confs = new ConfFiles({ ...rules, largest: 65_536, mostDaemons: 10 }, (account) => accounts.identity(account));
  const ports = { clock: new FakeClock(), records };
  const log = { error: (about: object) => void errors.push(about) };
  return apiSurroundings(
    { policy: { paths } },
    { ports, accounts, confs, cgroups, images, shimOutdated },
    log as never,
    {
      policyFile: "/etc/policy.conf",
      reloadPolicy: () => Promise.resolve([]),
      known: async () => undefined,
      problem: () => problem,
      answered: () => {
        answers += 1;
      },
    },
  );
};

test("a new conf file is made for its owner alone, and read back", () => {
  const about = make();
  // Reading makes the directory.
  expect(about.readConf(key())).toEqual({ path: confPath(), text: undefined, problem: undefined });
  about.writeConf(key(), "start=exec x\n", "make");
  expect(about.readConf(key())).toMatchObject({ path: confPath(), text: "start=exec x\n" });
});

test("an existing conf file is replaced, and not made a second time", () => {
  const about = make();
  about.readConf(key());
  about.writeConf(key(), "start=exec x\n", "make");
  about.writeConf(key(), "start=exec y\n", "replace");
  expect(() => about.writeConf(key(), "start=exec z\n", "make")).toThrow("EEXIST");
  expect(readFileSync(confPath(), "utf8")).toBe("start=exec y\n");
});

test("replacing a missing conf file makes none", () => {
  const about = make();
  about.readConf(key());
  about.writeConf(key(), "start=exec x\n", "replace");
  expect(existsSync(confPath())).toBe(false);
});

test("the conf of a service directory is its run script", () => {
  mkdirSync(join(home, "service/site"), { recursive: true, mode: 0o755 });
  writeFileSync(join(home, "service/site/run"), "#!/bin/sh\nexec x\n", { mode: 0o755 });
  expect(make().readConf(key("site"))).toMatchObject({
    path: join(home, "service/site/run"),
    text: "#!/bin/sh\nexec x\n",
  });
});

test("the log of a daemon is read from its log directory", async () => {
  const logDirectory = join(home, "logs/blog");
  mkdirSync(logDirectory, { recursive: true });
  writeFileSync(join(logDirectory, "current"), "@400000006000000000000000 hello\n");
  const from = { lines: 10, since: undefined, follow: false };
  let text = "";
  for await (const chunk of make().readLog({ key: key(), logDirectory } as never, from as never)) text += chunk;
  expect(text).toBe("@400000006000000000000000 hello\n");
});

test("problems of a conf file carry file and line, and scripts are not checked", () => {
  const about = make();
  expect(about.checkConf(key(), confPath(), "start=exec x\nmemory=lots\n").errors).toEqual([
    expect.stringMatching(new RegExp(`^${confPath()}:2: `)),
  ]);
  expect(about.checkConf(key(), "/service/site/run", "nosuch=1\n")).toEqual({ errors: [], warnings: [] });
});

test("health says whether the running shim is the installed one", () => {
  expect(make().health().shim).toBe("current");
  expect(make(undefined, true).health().shim).toMatch(/^outdated \(.*restarts all daemons\)$/);
});

test("health has the problem of the sites", () => {
  const about = make();
  expect(about.health().problem).toBe("");
  problem = "2 hosts have been pending";
  expect(about.health().problem).toBe("2 hosts have been pending");
});

test("health names cgroups, or the reason why sessions contain the processes instead", () => {
  expect(make().health().containment).toBe("cgroup");
  const none = { path: undefined, controllers: new Set<string>(), why: "no cgroup2 file system is mounted" };
  expect(make(none).health().containment).toBe("sessions (no cgroup2 file system is mounted)");
});

test("records are written before each answer, which counts as activity of the service", () => {
  let written = -1;
  records.flush = () => {
    written = answers;
  };
  make().answered();
  expect([written, answers]).toEqual([0, 1]);
});

test("the API has the time of the engine's clock", () => {
  const clock = new FakeClock();
  expect(make().now()).toBe(clock.now());
});

test("an internal error is logged with its caller", () => {
  const error = new Error("broken");
  make().onInternalError(error, { uid: 4001, user: "anna" });
  expect(errors).toEqual([{ err: error, caller: "anna" }]);
});

test("images are the broker's, and without containers the answer says how to enable them", async () => {
  await expect(make().images()).rejects.toThrow("containers are not enabled here (see docs/how-to/containers.md)");
  await expect(make().acceptImage("x")).rejects.toThrow("containers are not enabled here");
  const accepted: string[] = [];
  const images = { images: async () => [], acceptImage: async (image: string) => void accepted.push(image) };
  const about = make(undefined, false, images);
  expect(await about.images()).toEqual([]);
  await about.acceptImage("docker.io/library/php:8");
  expect(accepted).toEqual(["docker.io/library/php:8"]);
});
