import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULTS } from "../../core/definition.ts";
import { ConfFiles } from "./conf-files.ts";

const { username, uid, gid } = userInfo();

let home = "";
let parses = 0;
let files: ConfFiles;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "conf-"));
  mkdirSync(join(home, "daemons"));
  parses = 0;
  files = new ConfFiles(
    {
      parse: (start) => {
        parses += 1;
        return { value: { ...DEFAULTS, start }, errors: [], warnings: [] };
      },
      parseService: () => ({ value: undefined, errors: [], warnings: [] }),
      describe: (path, { line, text }) => `${path}:${line}: ${text}`,
      names: /^[a-z]+$/,
      largest: 1024,
      mostDaemons: 10,
    },
    () => ({ uid, gid, groups: [gid] }),
  );
});
afterEach(() => rmSync(home, { recursive: true }));

const owner = () => ({ name: username, uid, gid, home, shell: "/bin/sh" });
const directories = () => ({ chain: [home, join(home, "daemons")], serviceChain: [home, join(home, "service")] });
const write = (name: string, text: string): void =>
  writeFileSync(join(home, "daemons", `${name}.conf`), text, { mode: 0o600 });
const readAll = () => files.readAll(owner(), directories(), new Set());

test("an unchanged conf file is parsed once", () => {
  write("web", "one");
  expect(readAll().files.map(({ definition }) => definition?.start)).toEqual(["one"]);
  readAll();
  expect(files.readOne(owner(), directories(), "web")?.definition?.start).toBe("one");
  expect(parses).toBe(1);
});

test("a conf file that changes is parsed again", () => {
  write("web", "one");
  readAll();
  write("web", "two");
  expect(readAll().files.map(({ definition }) => definition?.start)).toEqual(["two"]);
  expect(parses).toBe(2);
});

test("a removed conf file leaves nothing in memory: it is parsed anew when it comes back", () => {
  write("web", "one");
  readAll();
  rmSync(join(home, "daemons", "web.conf"));
  expect(readAll().files).toEqual([]);
  write("web", "one");
  readAll();
  expect(parses).toBe(2);
});

test("files of an owner who left the policy are forgotten", () => {
  write("web", "one");
  readAll();
  files.watch(owner(), directories(), () => undefined);
  files.forget(username);
  readAll();
  expect(parses).toBe(2);
});

test("a conf file that a group may write is refused with the command that corrects it", () => {
  write("shared", "exec true");
  const path = join(home, "daemons", "shared.conf");
  chmodSync(path, 0o664);
  expect(readAll().files.map(({ errors }) => errors)).toEqual([
    [`${path}: others than ${username} may write to it (mode 0664); run: chmod go-w ${path}`],
  ]);
});

test("the command that corrects the mode of a directory quotes its path for a shell", () => {
  const directory = join(home, "it's; rm");
  mkdirSync(directory);
  chmodSync(directory, 0o775);
  const { problems } = files.readAll(owner(), { ...directories(), chain: [home, directory] }, new Set());
  expect(problems).toEqual([
    `${directory}: others than ${username} may write to it (mode 0775); run: chmod go-w '${home}/it'\\''s; rm'`,
  ]);
});
