import { describe, expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { inHome } from "../core/paths.ts";
import { launchDaemon, launchFinish, launchLogger, launchServiceLogger, objection } from "./plan.ts";

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

const alone = { socketPath: undefined, notifyPath: undefined, tools: "/opt/tools" };

describe("launchDaemon", () => {
  const plan = launchDaemon({
    definition,
    owner,
    account,
    cgroup: "/sys/fs/cgroup/dmhost/amy/site/1",
    privileged: true,
    ...alone,
  });

  it("a daemon's launch plan hides the tenant's variables behind a prefix from root's stages", () => {
    const names = [...plan.environment.keys()];
    expect(names.filter((name) => name !== "PATH" && !name.startsWith("DMHOST_VAR"))).toEqual([]);
    expect(plan.environment.get("PATH")).toBe("/usr/local/bin:/usr/bin:/bin");
    expect(plan.environment.get("DMHOST_VAR_LD_PRELOAD")).toBe("/home/amy/evil.so");
  });

  it("a daemon's launch plan passes exactly the default variables and those of the file, which win", () => {
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

  it("a daemon's launch plan passes each text of the tenant as one argument and never inside a script", () => {
    expect(plan.argv.slice(0, 2)).toEqual(["/bin/sh", "-c"]);
    expect(plan.argv).toContain("/home/amy/site");
    expect(plan.argv.filter((word) => word.includes("php-cgi"))).toEqual(["exec php-cgi; echo 'a b'"]);
  });

  it("a daemon's launch plan becomes the account by number, with its groups and without a way back", () => {
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

  it("changes no account where the supervisor is not root, and still sets no_new_privs", () => {
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

describe("launchLogger", () => {
  const script = (terms: Partial<typeof DEFAULTS>): string[] => {
    const { argv } = launchLogger("/home/amy/logs/site", owner, { ...DEFAULTS, ...terms }, true);
    expect(argv).toContain("--reuid=1001");
    return argv.slice(argv.indexOf("--", argv.indexOf("/usr/bin/s6-log")) + 1);
  };

  it("a logger's launch plan runs s6-log as the owner, with the defaults of multilog", () => {
    expect(script({})).toEqual(["n10", "s1048576", "t", "/home/amy/logs/site"]);
  });

  it("a logger's launch plan passes every log key of the file to s6-log", () => {
    const terms = { logFiles: 3, logSize: 4096, logTotal: 9999, logCompress: true, logSelect: ["-*", "+*x*"] };
    expect(script(terms)).toEqual([
      "n3",
      "s4096",
      "S9999",
      "-^.*$",
      "+^[^x]*x.*$",
      "t",
      "!gzip -nq",
      "/home/amy/logs/site",
    ]);
  });
});

describe("the chain of a service directory", () => {
  const root = { name: "root", uid: 0, gid: 0, home: "/root", shell: "/bin/sh" };
  const ofService = {
    ...DEFAULTS,
    dir: "/service/site",
    start: "exec ./run",
    service: { directory: "/service/site", finish: true, contents: "" },
  };
  const launch = {
    definition: ofService,
    owner,
    account,
    cgroup: undefined,
    privileged: true,
    ...alone,
    tools: "/opt/tools",
  };
  const lastWords = (argv: readonly string[]): readonly string[] => {
    const at = argv.lastIndexOf("dmhost-launch");
    return argv.slice(at + 1, at + 4);
  };

  it("the chain of a service directory sets no USER and puts the daemontools programs first in PATH", () => {
    const { environment } = launchDaemon(launch);
    expect(environment.has("DMHOST_VAR_USER")).toBe(false);
    expect(environment.get("DMHOST_VAR_LOGNAME")).toBe("www-data");
    expect(environment.get("DMHOST_VAR_PATH")).toBe("/opt/tools:/usr/local/bin:/usr/bin:/bin");
    expect(environment.get("PATH")).toBe("/usr/local/bin:/usr/bin:/bin");
  });

  it("the chain of a service directory keeps the bounding set for root, whose setuidgid needs it, and for no other account", () => {
    expect(launchDaemon(launch).argv).toContain("--bounding-set=-all");
    const asRoot = launchDaemon({ ...launch, owner: root, account: root }).argv;
    expect(asRoot).not.toContain("--bounding-set=-all");
    expect(asRoot).toContain("--no-new-privs");
    const conf = { ...ofService, service: undefined };
    expect(launchDaemon({ ...launch, definition: conf, owner: root, account: root }).argv).toContain(
      "--bounding-set=-all",
    );
  });

  it("the chain of a service directory starts log/run in log, and finish with code and signal as arguments", () => {
    expect(lastWords(launchServiceLogger(launch).argv)).toEqual(["/service/site/log", "/bin/sh", "exec ./run"]);
    const finish = (code: number | undefined, signal: number) => lastWords(launchFinish(launch, { code, signal }).argv);
    expect(finish(7, 0)).toEqual(["/service/site", "/bin/sh", "exec ./finish 7 0"]);
    expect(finish(undefined, 15)).toEqual(["/service/site", "/bin/sh", "exec ./finish 256 15"]);
  });

  it("the chain of a service directory keeps log/run outside of the jail of run and finish", () => {
    const jailed = { ...launch, definition: { ...ofService, dir: "/in/jail", chroot: "/jail" } };
    const { argv } = launchServiceLogger(jailed);
    expect(lastWords(argv)).toEqual(["/service/site/log", "/bin/sh", "exec ./run"]);
    expect(argv.filter((word) => word.includes("chroot"))).toEqual([]);
    for (const plan of [launchDaemon(jailed), launchFinish(jailed, { code: 0, signal: 0 })]) {
      expect(plan.argv).toContain("/usr/sbin/capsh");
      expect(lastWords(plan.argv)[0]).toBe("/in/jail");
    }
  });
});

describe("the stages of a file's keys", () => {
  const launch = { owner, account, cgroup: undefined, privileged: true, ...alone };
  const programs = (change: Partial<typeof definition>): string[] => {
    const { argv } = launchDaemon({ ...launch, definition: { ...definition, ...change } });
    return argv.filter((word) => /^\/(usr\/)?s?bin\//.test(word));
  };
  const all = {
    ...DEFAULTS,
    start: "x",
    lock: "~/lock",
    envDir: "~/env",
    chroot: "~/jail/",
    limitNofile: { soft: 10, hard: 20 },
    limitCpu: { soft: 1, hard: "unlimited" },
    nice: 7,
    umask: 0o7,
    environment: new Map([["A", "1"]]),
  } as const;
  const { argv } = launchDaemon({ ...launch, definition: all });
  const after = (word: string, count: number): readonly string[] => {
    const index = argv.findIndex((each) => each === word || each.startsWith(word));
    return argv.slice(index, index + count);
  };

  it("the stages of a conf file's keys are missing from a chain whose file sets none of their keys", () => {
    expect(programs({})).toEqual(["/bin/sh", "/usr/bin/setpriv", "/bin/sh", "/bin/sh"]);
  });

  it("the stages of a conf file's keys follow setpriv in their order, and only the jail's shell follows capsh", () => {
    expect(argv.filter((word) => /^\/(usr\/)?s?bin\//.test(word))).toEqual([
      ...["/bin/sh", "/usr/bin/setpriv", "/bin/sh", "/bin/sh", "/usr/bin/perl", "/bin/sh", "/usr/bin/prlimit"],
      ...["/usr/sbin/capsh", "/bin/sh"],
    ]);
    expect(argv.at(-9)).toBe("--shell=/bin/sh");
  });

  it("the stages of a conf file's keys get the values of their keys as arguments", () => {
    expect(after("/usr/bin/prlimit", 4)).toEqual(["/usr/bin/prlimit", "--nofile=10:20", "--cpu=1:unlimited", "--"]);
    expect(argv).toContain("/home/amy/lock");
    expect(argv.slice(argv.indexOf("/home/amy/env"))).toEqual(expect.arrayContaining(["/home/amy/env", "", "A"]));
    expect(argv.slice(argv.indexOf("/home/amy/jail")).slice(0, 2)).toEqual(["/home/amy/jail", "1001"]);
    expect(argv.slice(4, 6)).toEqual(["", "7"]);
    expect(argv.at(-1)).toBe("007");
  });

  it("the stages of a conf file's keys keep two capabilities until capsh drops them", () => {
    expect(argv.filter((word) => word.includes("caps=") || word.includes("-set="))).toEqual([
      "--inh-caps=-all,+sys_chroot,+setpcap",
      "--ambient-caps=-all,+sys_chroot,+setpcap",
      "--bounding-set=-all,+sys_chroot,+setpcap",
      "--caps=",
    ]);
  });
});

it.each<[string, Partial<Definition>, boolean, string | undefined]>([
  ["nothing special", {}, true, undefined],
  ["a jail", { chroot: "/srv/jail" }, true, undefined],
  [
    "a jail and listen=path",
    { chroot: "/x", listen: "path" },
    true,
    "chroot=: the path of listen=path is outside the jail",
  ],
  [
    "a jail and ready=notify",
    { chroot: "/x", ready: "notify" },
    true,
    "chroot=: the socket of ready=notify is outside the jail",
  ],
  ["a lock and another descriptor", { lock: "/x", ready: "fd:8" }, true, undefined],
  [
    "a lock and its own descriptor",
    { lock: "/x", ready: "fd:9" },
    true,
    "lock=: descriptor 9 holds the lock, so ready= must name another",
  ],
  ["a jail without root", { chroot: "/x" }, false, "chroot=: this supervisor is not root"],
])("a definition with %s gets the objection that belongs to it", (_name, change, privileged, expected) => {
  expect(objection({ definition: { ...definition, ...change }, privileged })).toBe(expected);
});

it.each([
  ["~", "/home/amy"],
  ["~/site", "/home/amy/site"],
  ["/srv/~", "/srv/~"],
  ["/", "/"],
])("inHome resolves %s to %s", (path, expected) => {
  expect(inHome(path, owner)).toBe(expected);
});
