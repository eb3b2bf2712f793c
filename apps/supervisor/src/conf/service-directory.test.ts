import { describe, expect, it } from "vitest";
import { DEFAULTS, type ServiceText } from "../core/definition.ts";
import { parseService as parse } from "./service-directory.ts";

const amy = { name: "amy", uid: 1001, gid: 1001, home: "/home/amy", shell: "/bin/sh" };
const parseService = (service: ServiceText) => parse(service, amy);

const plain: ServiceText = {
  directory: "/home/amy/service/site",
  resolved: "/home/amy/service/site",
  conf: undefined,
  user: undefined,
  down: false,
  logger: false,
  finish: false,
  contents: "of run",
};

describe("a service directory", () => {
  it("a service directory is a daemon that runs ./run in the directory and writes a log", () => {
    expect(parseService(plain)).toEqual({
      value: {
        ...DEFAULTS,
        dir: "/home/amy/service/site",
        start: "exec ./run",
        output: "log",
        service: { directory: "/home/amy/service/site", finish: false, contents: "of run" },
      },
      errors: [],
      warnings: [],
    });
  });

  it("a service directory is configured by down, log/run, finish and env/USER", () => {
    const { value } = parseService({ ...plain, down: true, logger: true, finish: true, user: "www-data" });
    expect(value).toMatchObject({ autostart: false, output: "log/run", user: "www-data", service: { finish: true } });
  });

  it("a service directory has down and log/run override its conf, and user of conf override env/USER", () => {
    const conf = "autostart = yes\noutput = discard\nuser = web\nexport A = b\nstop-timeout = 3s\n";
    const { value } = parseService({ ...plain, conf, down: true, logger: true, user: "amy" });
    expect(value).toMatchObject({ autostart: false, output: "log/run", user: "web", stopTimeout: 3000 });
    expect(value?.environment).toEqual(new Map([["A", "b"]]));
    expect(parseService({ ...plain, conf }).value?.output).toBe("discard");
  });

  it.each([
    ["www-data", "www-data"],
    ["www-data \t\nrest", "www-data"],
    ["www-data \r\n", "www-data"],
    ["", undefined],
    ["\nwww-data", undefined],
  ])("a service directory runs as the first line of env/USER, as envdir reads it: %j", (user, account) => {
    const { value, errors } = parseService({ ...plain, user });
    expect([value?.user, errors]).toEqual([account, []]);
  });

  it.each(["0", "0day", " amy", "a b", "am\u001by", "amy\0", "amy;id", "a".repeat(40)])(
    "a service directory with %j in env/USER is refused with file and line",
    (user) => {
      const { value, errors } = parseService({ ...plain, user });
      expect(value).toBeUndefined();
      expect(errors).toEqual([
        { file: "env/USER", line: 1, text: expect.stringMatching(/^expected the name of an account/) },
      ]);
    },
  );

  it.each(["start", "dir", "shell"])("a service directory with %s in its conf is refused with the line", (key) => {
    const { value, errors } = parseService({ ...plain, conf: `# what\n${key} = /bin/sh\n` });
    expect(value).toBeUndefined();
    expect(errors).toEqual([{ file: "conf", line: 2, text: expect.stringContaining("not permitted here") }]);
  });

  it("a service directory with autostart=no in its conf is not started by itself, even without down", () => {
    expect(parseService({ ...plain, conf: "autostart = no" }).value?.autostart).toBe(false);
    expect(parseService({ ...plain, conf: "autostart = yes" }).value?.autostart).toBe(true);
  });

  it.each([
    ["~/jail", "/home/amy/jail/service/site", "/service/site"],
    ["/home/amy/jail//", "/home/amy/jail/service/site", "/service/site"],
    ["~/jail", "/home/amy/jail", "/"],
    ["/", "/srv/site", "/srv/site"],
  ])("a service directory starts in its directory as seen in the jail %s", (chroot, resolved, dir) => {
    const { value } = parseService({ ...plain, resolved, conf: `chroot = ${chroot}` });
    expect(value).toMatchObject({ dir, chroot, service: { directory: plain.directory } });
  });

  it.each(["/home/amy/service/site", "/home/amy/jailed/site", "/home/amy", "/"])(
    "a service directory at %s, outside of its jail, is refused with the line of chroot",
    (resolved) => {
      const { value, errors } = parseService({ ...plain, resolved, conf: "# in a jail\nchroot = ~/jail/\n" });
      expect(value).toBeUndefined();
      const found = `${resolved} is not below /home/amy/jail; move it there and put a symbolic link in its place`;
      expect(errors).toEqual([{ file: "conf", line: 2, text: expect.stringContaining(found) }]);
    },
  );

  it("a service directory may have a nice value below 0 only for root", () => {
    const conf = "# eager\nnice = -5\n";
    expect(parseService({ ...plain, conf }).errors).toEqual([
      { file: "conf", line: 2, text: expect.stringMatching(/^nice: expected .* only root's own .*, found "-5"$/) },
    ]);
    expect(parse({ ...plain, conf }, { ...amy, name: "root", uid: 0 }).value?.nice).toBe(-5);
  });

  it("a service directory passes on warnings about its conf", () => {
    expect(parseService({ ...plain, conf: "stop-timout = 3s" }).warnings).toEqual([
      { file: "conf", line: 1, text: expect.stringContaining('did you mean "stop-timeout"') },
    ]);
  });
});
