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

const launch = { definition, owner, account, cgroup: "/sys/fs/cgroup/dmhost/amy/site/1", privileged: true, ...alone };

describe("launchDaemon", () => {
  it("a daemon's launch plan passes exactly the default variables and those of the file, which win", () => {
    expect(Object.fromEntries(launchDaemon(launch).environment)).toEqual({
      HOME: "/var/www",
      LOGNAME: "www-data",
      USER: "www-data",
      PATH: "/home/amy/bin",
      SHELL: "/bin/sh",
      LD_PRELOAD: "/home/amy/evil.so",
    });
  });

  it("a daemon's launch plan has its shell, its directory and its cgroup, and words only where it needs no shell", () => {
    const plan = launchDaemon(launch);
    expect(plan).toMatchObject({ words: [], shell: "/bin/sh", start: definition.start, directory: "/home/amy/site" });
    expect(plan.cgroup).toBe("/sys/fs/cgroup/dmhost/amy/site/1");
    const plain = { ...definition, start: "exec php-cgi -q" };
    expect(launchDaemon({ ...launch, definition: plain }).words).toEqual(["php-cgi", "-q"]);
  });

  it("a daemon's launch plan has its account, and none where the supervisor is not root", () => {
    expect(launchDaemon(launch).account).toBe(account);
    expect(launchDaemon({ ...launch, account: owner, privileged: false }).account).toBeUndefined();
  });

  it.each([
    ["none", undefined, false],
    ["fastcgi", 0, false],
    ["systemd", 3, true],
    ["http", 3, true],
    ["path", undefined, false],
  ] as const)("a daemon with listen=%s gets its socket as descriptor %s", (listen, descriptor, setsPid) => {
    const { socketDescriptor, setsListenPid } = launchDaemon({ ...launch, definition: { ...definition, listen } });
    expect([socketDescriptor, setsListenPid]).toEqual([descriptor, setsPid]);
  });

  it("a daemon with listen=path lets the web server's group connect, and nobody else, whatever its umask says", () => {
    const umaskOf = (umask: number, listen: "path" | "none") =>
      launchDaemon({ ...launch, definition: { ...definition, listen, umask } }).umask;
    expect([umaskOf(0o077, "path"), umaskOf(0o022, "path"), umaskOf(0o077, "none")]).toEqual([0o007, 0o007, 0o077]);
  });

  it("a daemon's launch plan has the descriptor or the path by which it reports readiness", () => {
    const byLine = launchDaemon({ ...launch, definition: { ...definition, ready: "fd:5" } });
    expect([byLine.readyDescriptor, byLine.notifyPath]).toEqual([5, undefined]);
    expect(launchDaemon({ ...launch, notifyPath: "/run/notify" }).notifyPath).toBe("/run/notify");
  });

  it("each key of the file becomes the part of the plan that carries it out", () => {
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
    const plan = launchDaemon({ ...launch, definition: all });
    expect(plan).toMatchObject({
      nice: 7,
      umask: 0o7,
      lock: { path: "/home/amy/lock", descriptor: 9 },
      jail: { path: "/home/amy/jail", owner: 1001 },
      limits: [
        { resource: "nofile", soft: 10, hard: 20 },
        { resource: "cpu", soft: 1, hard: "unlimited" },
      ],
    });
    expect(plan.reader?.words.slice(3)).toEqual(["/home/amy/env", "", "A"]);
    expect(plan.reader?.environment.get("DMHOST_VAR_A")).toBe("1");
  });

  it("a file without these keys has a plan without their parts", () => {
    const { nice, lock, jail, limits, reader } = launchDaemon(launch);
    expect([nice, lock, jail, limits, reader]).toEqual([undefined, undefined, undefined, [], undefined]);
  });
});

describe("launchLogger", () => {
  const script = (terms: Partial<typeof DEFAULTS>): readonly string[] => {
    const plan = launchLogger("/home/amy/logs/site", owner, { ...DEFAULTS, ...terms }, true);
    expect(plan).toMatchObject({ account: owner, umask: 0o077 });
    return plan.words.slice(plan.words.indexOf("--") + 1);
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

describe("the plans of a service directory", () => {
  const root = { name: "root", uid: 0, gid: 0, home: "/root", shell: "/bin/sh" };
  const ofService = {
    ...DEFAULTS,
    dir: "/service/site",
    start: "exec ./run",
    service: { directory: "/service/site", finish: true, contents: "" },
  };
  const service = { ...launch, definition: ofService };

  it("the plan of a service directory sets no USER and puts the daemontools programs first in PATH", () => {
    const { environment } = launchDaemon(service);
    expect(environment.has("USER")).toBe(false);
    expect(environment.get("LOGNAME")).toBe("www-data");
    expect(environment.get("PATH")).toBe("/opt/tools:/usr/local/bin:/usr/bin:/bin");
  });

  it("the plan of a service directory keeps the capabilities of root, whose setuidgid needs them, and of no other account", () => {
    expect(launchDaemon(service).keepsCapabilities).toBe(false);
    const asRoot = { ...service, owner: root, account: root };
    expect(launchDaemon(asRoot).keepsCapabilities).toBe(true);
    expect(launchDaemon({ ...asRoot, definition: { ...ofService, chroot: "/jail" } }).keepsCapabilities).toBe(false);
    expect(launchDaemon({ ...asRoot, definition: { ...ofService, service: undefined } }).keepsCapabilities).toBe(false);
  });

  it("the plans of a service directory start log/run in log, and finish with code and signal as arguments", () => {
    expect(launchServiceLogger(service)).toMatchObject({ directory: "/service/site/log", words: ["./run"] });
    const finish = (code: number | undefined, signal: number) => launchFinish(service, { code, signal });
    expect(finish(7, 0)).toMatchObject({ directory: "/service/site", words: ["./finish", "7", "0"] });
    expect(finish(undefined, 15).words).toEqual(["./finish", "256", "15"]);
  });

  it("the plans of a service directory keep log/run outside of the jail of run and finish", () => {
    const jailed = { ...service, definition: { ...ofService, dir: "/in/jail", chroot: "/jail" } };
    expect(launchServiceLogger(jailed)).toMatchObject({ directory: "/service/site/log", jail: undefined });
    for (const plan of [launchDaemon(jailed), launchFinish(jailed, { code: 0, signal: 0 })])
      expect(plan).toMatchObject({ directory: "/in/jail", jail: { path: "/jail" } });
  });

  it("what runs beside a daemon gets neither its socket, its lock nor its way to report readiness", () => {
    const busy = { ...ofService, listen: "systemd", lock: "/lock", ready: "fd:5" } as const;
    for (const plan of [
      launchServiceLogger({ ...service, definition: busy }),
      launchFinish({ ...service, definition: busy, notifyPath: "/run/notify" }, { code: 0, signal: 0 }),
    ]) {
      expect(plan).toMatchObject({ socketDescriptor: undefined, lock: undefined, readyDescriptor: undefined });
      expect([plan.notifyPath, plan.environment.has("LISTEN_FDS")]).toEqual([undefined, false]);
    }
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
