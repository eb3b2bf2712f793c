import { describe, expect, it } from "vitest";
import { DEFAULTS } from "./definition.ts";
import { inHome, launchDaemon, launchLogger, readExit } from "./launch.ts";

const owner = { name: "amy", uid: 1001, gid: 1001, home: "/home/amy", shell: "/bin/bash" };
const account = { name: "www-data", uid: 33, gid: 33, home: "/var/www", shell: "/usr/sbin/nologin" };
const definition = {
  ...DEFAULTS,
  dir: "~/site",
  start: "exec php-cgi; echo 'a b'",
  environment: new Map([
    ["LD_PRELOAD", "/home/amy/evil.so"],
    ["PATH", "/home/amy/bin"],
  ]),
};

const alone = { socketPath: undefined, notifyPath: undefined };

describe("launchDaemon", () => {
  const plan = launchDaemon({
    definition,
    owner,
    account,
    cgroup: "/sys/fs/cgroup/dmhost/amy/site/1",
    privileged: true,
    ...alone,
  });

  it("shows root's stages nothing that the tenant named, but under a name that means nothing to them", () => {
    const names = [...plan.environment.keys()];
    expect(names.filter((name) => name !== "PATH" && !name.startsWith("DMHOST_VAR_"))).toEqual([]);
    expect(plan.environment.get("PATH")).toBe("/usr/local/bin:/usr/bin:/bin");
    expect(plan.environment.get("DMHOST_VAR_LD_PRELOAD")).toBe("/home/amy/evil.so");
  });

  it("gives the tenant exactly its variables, the exported ones last", () => {
    const own = [...plan.environment].filter(([name]) => name.startsWith("DMHOST_VAR_"));
    expect(Object.fromEntries(own.map(([name, value]) => [name.slice("DMHOST_VAR_".length), value]))).toEqual({
      HOME: "/var/www",
      LOGNAME: "www-data",
      USER: "www-data",
      PATH: "/home/amy/bin",
      SHELL: "/bin/sh",
      LD_PRELOAD: "/home/amy/evil.so",
    });
  });

  it("passes every word of the tenant's as an argument of its own, never inside a script", () => {
    expect(plan.argv.slice(0, 2)).toEqual(["/bin/sh", "-c"]);
    expect(plan.argv).toContain("/home/amy/site");
    expect(plan.argv.filter((word) => word.includes("php-cgi"))).toEqual(["exec php-cgi; echo 'a b'"]);
  });

  it("becomes the account by number, with all of its groups and without a way back", () => {
    const setpriv = plan.argv.slice(plan.argv.indexOf("/usr/bin/setpriv"), plan.argv.indexOf("--"));
    expect(setpriv).toEqual([
      "/usr/bin/setpriv",
      "--reuid=33",
      "--regid=33",
      "--init-groups",
      "--no-new-privs",
      "--inh-caps=-all",
      "--bounding-set=-all",
    ]);
  });

  it("changes no account where the supervisor is no root, but still gives up the way to one", () => {
    const { argv } = launchDaemon({
      definition,
      owner,
      account: owner,
      cgroup: undefined,
      privileged: false,
      ...alone,
    });
    expect(argv.slice(argv.indexOf("/usr/bin/setpriv"), argv.indexOf("--") + 1)).toEqual([
      "/usr/bin/setpriv",
      "--no-new-privs",
      "--",
    ]);
  });
});

it("runs the logger as the owner", () => {
  const { argv } = launchLogger("/home/amy/logs/site", owner, { size: 4096, files: 3 }, true);
  expect(argv).toContain("--reuid=1001");
  expect(argv.slice(argv.indexOf("/usr/bin/s6-log"))).toEqual([
    "/usr/bin/s6-log",
    "-b",
    "n3",
    "s4096",
    "t",
    "/home/amy/logs/site",
  ]);
});

it.each([
  ["~", "/home/amy"],
  ["~/site", "/home/amy/site"],
  ["/srv/~", "/srv/~"],
  ["/", "/"],
])("inHome %s", (path, expected) => {
  expect(inHome(path, owner)).toBe(expected);
});

describe("readExit", () => {
  it.each([
    ["a code", { code: 3, signal: undefined, report: "" }, { how: "code", code: 3 }],
    ["a signal", { code: undefined, signal: "SIGKILL", report: "" }, { how: "signal", signal: "SIGKILL" }],
    ["nobody saw", undefined, { how: "unknown" }],
    [
      "no memory",
      { code: undefined, signal: "SIGKILL", report: "", starved: true },
      { how: "signal", signal: "SIGKILL", cause: "memory" },
    ],
    [
      "no memory for a child",
      { code: 137, signal: undefined, report: "", starved: true },
      { how: "code", code: 137, cause: "memory" },
    ],
    [
      "another signal, of one of whose processes that is true",
      { code: undefined, signal: "SIGTERM", report: "", starved: true },
      { how: "signal", signal: "SIGTERM" },
    ],
    [
      "the directory",
      { code: 111, signal: undefined, report: "/srv/x: not a directory\nentering /srv/x\n" },
      { how: "launch", stage: "entering /srv/x", reason: "not a directory" },
    ],
    [
      "the cgroup",
      {
        code: 111,
        signal: undefined,
        report: "dmhost-launch: 2: cannot create /x/cgroup.procs: Permission denied\njoining cgroup\n",
      },
      { how: "launch", stage: "joining cgroup", reason: "permission denied" },
    ],
    [
      "setpriv itself",
      { code: 127, signal: undefined, report: "setpriv: setresuid failed: Operation not permitted\n" },
      { how: "launch", stage: "becoming the account", reason: "operation not permitted" },
    ],
  ])("%s", (_name, raw, expected) => {
    expect(readExit(raw && { starved: false, ...raw })).toEqual(expected);
  });
});
