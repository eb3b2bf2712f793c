import { describe, expect, it } from "vitest";
import { DEFAULTS, type ServiceText } from "../core/definition.ts";
import { parseService } from "./service-directory.ts";

const plain: ServiceText = {
  directory: "/home/amy/service/site",
  conf: undefined,
  user: undefined,
  down: false,
  logger: false,
  finish: false,
  contents: "of run",
};

describe("parseService", () => {
  it("runs ./run in the directory and keeps its output in a log", () => {
    expect(parseService(plain)).toEqual({
      value: {
        ...DEFAULTS,
        dir: "/home/amy/service/site",
        start: "exec ./run",
        output: "log",
        service: { finish: false, contents: "of run" },
      },
      errors: [],
      warnings: [],
    });
  });

  it("takes what stands beside run for what it means", () => {
    const { value } = parseService({ ...plain, down: true, logger: true, finish: true, user: "www-data" });
    expect(value).toMatchObject({ autostart: false, output: "log/run", user: "www-data", service: { finish: true } });
  });

  it("lets down and log/run count more than conf, and conf's user more than env/USER", () => {
    const conf = "autostart = yes\noutput = discard\nuser = web\nexport A = b\nstop-timeout = 3s\n";
    const { value } = parseService({ ...plain, conf, down: true, logger: true, user: "amy" });
    expect(value).toMatchObject({ autostart: false, output: "log/run", user: "web", stopTimeout: 3000 });
    expect(value?.environment).toEqual(new Map([["A", "b"]]));
    expect(parseService({ ...plain, conf }).value?.output).toBe("discard");
  });

  it.each([
    ["www-data", "www-data"],
    ["www-data \t\nrest", "www-data"],
    ["", undefined],
    ["\nwww-data", undefined],
  ])("reads the first line of env/USER as envdir does: %j", (user, account) => {
    const { value, errors } = parseService({ ...plain, user });
    expect([value?.user, errors]).toEqual([account, []]);
  });

  it.each(["0", "0day", " amy", "a b", "am\u001by", "amy\0", "amy;id", "a".repeat(40)])(
    "refuses %j in env/USER, with its place",
    (user) => {
      const { value, errors } = parseService({ ...plain, user });
      expect(value).toBeUndefined();
      expect(errors).toEqual([
        { file: "env/USER", line: 1, text: expect.stringMatching(/^expected the name of an account/) },
      ]);
    },
  );

  it.each(["start", "dir", "shell"])("does not take %s from conf, and says at which line", (key) => {
    const { value, errors } = parseService({ ...plain, conf: `# what\n${key} = /bin/sh\n` });
    expect(value).toBeUndefined();
    expect(errors).toEqual([{ file: "conf", line: 2, text: expect.stringContaining("expected no such line here") }]);
  });

  it("passes warnings of conf on", () => {
    expect(parseService({ ...plain, conf: "stop-timout = 3s" }).warnings).toEqual([
      { file: "conf", line: 1, text: expect.stringContaining('did you mean "stop-timeout"') },
    ]);
  });
});
