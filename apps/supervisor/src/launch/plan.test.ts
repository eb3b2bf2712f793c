import { describe, expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { inHome } from "../core/paths.ts";
import {
  launchDaemon,
  launchFinish,
  launchLogger,
  launchServiceLogger,
  objection,
  readExit,
  servicePath,
} from "./plan.ts";

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

  it("shows root's stages nothing that the tenant named, but under a name that means nothing to them", () => {
    const names = [...plan.environment.keys()];
    expect(names.filter((name) => name !== "PATH" && !name.startsWith("DMHOST_VAR"))).toEqual([]);
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

describe("a start that needs no shell of its own", () => {
  const words = (change: Partial<Definition> & { readonly start: string }): readonly string[] => {
    const changed = { ...DEFAULTS, ...change };
    const { argv } = launchDaemon({
      ...alone,
      definition: changed,
      owner,
      account,
      cgroup: undefined,
      privileged: true,
    });
    return argv.slice(argv.lastIndexOf("dmhost-launch") + 5);
  };

  it.each([
    ["exec php-cgi", ["php-cgi"]],
    ["exec  /usr/bin/x  -a --b=c:d,e@f 7%", ["/usr/bin/x", "-a", "--b=c:d,e@f", "7%"]],
    ["exec ./finish 7 0", ["./finish", "7", "0"]],
  ])("is exec and words that mean the same to everybody: %s", (start, expected) => {
    expect(words({ start })).toEqual(expected);
  });

  it.each([
    "php-cgi",
    "exec",
    "execute x",
    "exec x; y",
    "exec 'x'",
    "exec x $Y",
    "exec x ~/y",
    "exec x *",
    "exec x 2>y",
    "exec x &",
    "exec A=b x",
    "exec .",
    "exec -a x y",
    "exec x\ty",
    "exec x \\y",
    "exec x #y",
    "exec x {a,b}",
    "exec x [a]",
  ])("is nothing else: %s", (start) => {
    expect(words({ start })).toEqual([]);
  });

  it("has a shell where another one, a jail, or variables that a shell changes are asked for", () => {
    const start = "exec x";
    expect(words({ start, shell: "/bin/bash" })).toEqual([]);
    expect(words({ start, chroot: "/jail" })).toEqual([]);
    expect(words({ start, envDir: "~/env" })).toEqual([]);
    expect(words({ start, envFile: "~/env" })).toEqual([]);
    expect(words({ start, environment: new Map([["IFS", "x"]]) })).toEqual([]);
    expect(words({ start, environment: new Map([["PATH", "/x"]]) })).toEqual(["x"]);
  });
});

describe("launchLogger", () => {
  const script = (terms: Partial<typeof DEFAULTS>): string[] => {
    const { argv } = launchLogger("/home/amy/logs/site", owner, { ...DEFAULTS, ...terms }, true);
    expect(argv).toContain("--reuid=1001");
    return argv.slice(argv.indexOf("--", argv.indexOf("/usr/bin/s6-log")) + 1);
  };

  it("runs s6-log as the owner, with the defaults of multilog", () => {
    expect(script({})).toEqual(["n10", "s1048576", "t", "/home/amy/logs/site"]);
  });

  it("says all that a file can say of a log", () => {
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

  it("leaves USER to env/USER and puts the old tools first", () => {
    const { environment } = launchDaemon(launch);
    expect(environment.has("DMHOST_VAR_USER")).toBe(false);
    expect(environment.get("DMHOST_VAR_LOGNAME")).toBe("www-data");
    expect(environment.get("DMHOST_VAR_PATH")).toBe("/opt/tools:/usr/local/bin:/usr/bin:/bin");
    expect(environment.get("PATH")).toBe("/usr/local/bin:/usr/bin:/bin");
  });

  it("leaves root what setuidgid needs, and nobody else anything", () => {
    expect(launchDaemon(launch).argv).toContain("--bounding-set=-all");
    const asRoot = launchDaemon({ ...launch, owner: root, account: root }).argv;
    expect(asRoot).not.toContain("--bounding-set=-all");
    expect(asRoot).toContain("--no-new-privs");
    const conf = { ...ofService, service: undefined };
    expect(launchDaemon({ ...launch, definition: conf, owner: root, account: root }).argv).toContain(
      "--bounding-set=-all",
    );
  });

  it("runs log/run in log, and finish with code and signal as its arguments", () => {
    expect(lastWords(launchServiceLogger(launch).argv)).toEqual(["/service/site/log", "/bin/sh", "exec ./run"]);
    const finish = (code: number | undefined, signal: number) => lastWords(launchFinish(launch, { code, signal }).argv);
    expect(finish(7, 0)).toEqual(["/service/site", "/bin/sh", "exec ./finish 7 0"]);
    expect(finish(undefined, 15)).toEqual(["/service/site", "/bin/sh", "exec ./finish 256 15"]);
  });

  it("keeps log/run out of the jail that run and finish are in", () => {
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

describe("stages that a file asks for", () => {
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

  it("are none where it asks for nothing", () => {
    expect(programs({})).toEqual(["/bin/sh", "/usr/bin/setpriv", "/bin/sh", "/bin/sh"]);
  });

  it("stand in their order, all of them behind setpriv, and no program of root's in the jail", () => {
    expect(argv.filter((word) => /^\/(usr\/)?s?bin\//.test(word))).toEqual([
      ...["/bin/sh", "/usr/bin/setpriv", "/bin/sh", "/bin/sh", "/usr/bin/perl", "/bin/sh", "/usr/bin/prlimit"],
      ...["/usr/sbin/capsh", "/bin/sh"],
    ]);
    expect(argv.at(-9)).toBe("--shell=/bin/sh");
  });

  it("get their words", () => {
    expect(after("/usr/bin/prlimit", 4)).toEqual(["/usr/bin/prlimit", "--nofile=10:20", "--cpu=1:unlimited", "--"]);
    expect(argv).toContain("/home/amy/lock");
    expect(argv.slice(argv.indexOf("/home/amy/env"))).toEqual(expect.arrayContaining(["/home/amy/env", "", "A"]));
    expect(argv.slice(argv.indexOf("/home/amy/jail")).slice(0, 2)).toEqual(["/home/amy/jail", "1001"]);
    expect(argv.slice(4, 6)).toEqual(["", "7"]);
    expect(argv.at(-1)).toBe("007");
  });

  it("leave two capabilities, to a jailer alone", () => {
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
    "a jail and a path",
    { chroot: "/x", listen: "path" },
    true,
    "chroot=: the path that listen=path names is not in there",
  ],
  [
    "a jail and a word",
    { chroot: "/x", ready: "notify" },
    true,
    "chroot=: the socket that ready=notify names is not in there",
  ],
  ["a lock and another descriptor", { lock: "/x", ready: "fd:8" }, true, undefined],
  [
    "a lock and its own",
    { lock: "/x", ready: "fd:9" },
    true,
    "lock=: it is kept on descriptor 9, so ready= must name another",
  ],
  ["a jail without root", { chroot: "/x" }, false, "chroot=: this supervisor runs without root's powers"],
])("objection to %s", (_name, change, privileged, expected) => {
  expect(objection({ definition: { ...definition, ...change }, privileged })).toBe(expected);
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
      { code: undefined, signal: "SIGKILL", report: "", oomKilled: true },
      { how: "memory", limit: undefined, peak: undefined },
    ],
    [
      "no memory for a child",
      { code: 137, signal: undefined, report: "", oomKilled: true },
      { how: "code", code: 137, cause: "memory" },
    ],
    [
      "another signal, of one of whose processes that is true",
      { code: undefined, signal: "SIGTERM", report: "", oomKilled: true },
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
      "too few descriptors",
      {
        code: 127,
        signal: undefined,
        report: "/bin/sh: error while loading shared libraries: libc.so.6: cannot open shared object file: Error 24\n",
      },
      { how: "launch", stage: "starting within limit-nofile", reason: "error 24" },
    ],
    [
      "too little memory",
      { code: 127, signal: undefined, report: "cannot allocate TLS data structures for initial thread\n" },
      {
        how: "launch",
        stage: "starting within its memory limits",
        reason: "cannot allocate TLS data structures for initial thread",
      },
    ],
    [
      "prlimit",
      {
        code: 1,
        signal: undefined,
        report: "prlimit: failed to set the NOFILE resource limit: Operation not permitted\n",
      },
      {
        how: "launch",
        stage: "setting limits",
        reason: "failed to set the NOFILE resource limit: operation not permitted",
      },
    ],
    [
      "the jail's shell",
      { code: 1, signal: undefined, report: "execve '/bin/sh' failed!\n" },
      {
        how: "launch",
        stage: "running the shell within the jail",
        reason: "no such program there, or no permission to run it: /bin/sh",
      },
    ],
    [
      "a variable's file, whose name has capitals",
      {
        code: 111,
        signal: undefined,
        report: "/home/amy/env/NAME: Permission denied\nreading env-dir /home/amy/env/NAME\n",
      },
      { how: "launch", stage: "reading env-dir /home/amy/env/NAME", reason: "permission denied" },
    ],
    [
      "nice",
      {
        code: 111,
        signal: undefined,
        report: "renice: failed to set priority for 7 (process ID): Permission denied\nsetting nice -5\n",
      },
      { how: "launch", stage: "setting nice -5", reason: "permission denied" },
    ],
    [
      "setpriv itself",
      { code: 127, signal: undefined, report: "setpriv: setresuid failed: Operation not permitted\n" },
      { how: "launch", stage: "becoming the account", reason: "operation not permitted" },
    ],
  ])("%s", (_name, raw, expected) => {
    expect(readExit(raw && { oomKilled: false, ...raw })).toEqual(expected);
  });
});

it("service directories' scripts find our programs before the machine's", () => {
  expect(servicePath("/opt/tools")).toBe("/opt/tools:/usr/local/bin:/usr/bin:/bin");
});
