/**
 * The compiler (a tsconfig.json per room) and Biome (overrides in biome.json, plugins in lint/) guard the rooms. These tests
 * write code that breaks a rule into a copy of the sources, which they must refuse, and plain code, which must pass.
 */
import { execFile } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const ROOMS = {
  contract: "packages/contract/src",
  core: "apps/supervisor/src/core",
  conf: "apps/supervisor/src/conf",
  launch: "apps/supervisor/src/launch",
  engine: "apps/supervisor/src/engine",
  web: "apps/supervisor/src/web",
  os: "apps/supervisor/src/os/files",
  api: "apps/supervisor/src/api",
  app: "apps/supervisor/src/app",
  dmctl: "apps/dmctl/src",
  "broker-contract": "packages/broker-contract/src",
  "broker/rules": "apps/broker/src/rules",
  "broker/service": "apps/broker/src/service",
  "broker/app": "apps/broker/src/app",
} as const;
type Room = keyof typeof ROOMS;

/** Code that a room refuses. */
const PROBES: readonly (readonly [what: string, room: Room, text: string])[] = [
  ["a dynamic import of node:fs in backticks", "engine", "export const found = import(`node:fs`);"],
  ["a constructor that makes code", "engine", 'export const found = (() => 1).constructor("return 1");'],
  ["a constructor by a computed name", "engine", 'export const found = (() => 1)["constructor"];'],
  ["Date as a function", "engine", "export const found = (): string => Date();"],
  ["Date by a computed name", "core", 'export const found = (): number => Date["now"]();'],
  ["Date under another name", "core", "const Other = Date;\nexport const found = Other;"],
  ["Temporal", "core", "export const found = (): unknown => Temporal.Now.instant();"],
  ["Intl", "web", "export const found = (): string => new Intl.DateTimeFormat().format();"],
  ["Atomics", "engine", "export const found = Atomics;"],
  ["Reflect", "engine", "export const found = Reflect;"],
  ["Math.random in pieces", "core", "const { random } = Math;\nexport const found = random;"],
  ["Math under another name", "core", "const Other = Math;\nexport const found = Other;"],
  ["Math by a computed name", "core", 'export const found = Math["random"];'],
  ["an import of a type of node:fs", "engine", 'import type { Stats } from "node:fs";\nexport type Found = Stats;'],
  ["an import type of node:fs", "engine", 'export type Found = import("node:fs").Stats;'],
  ["an export from node:fs", "engine", 'export * from "node:fs";'],
  ["an import of node:fs/promises", "engine", 'import { open } from "node:fs/promises";\nexport const found = open;'],
  ["an import of fs by its old name", "engine", 'import { open } from "fs/promises";\nexport const found = open;'],
  ["a require", "engine", 'export const found = require("node:fs");'],
  ["a bare process.kill", "engine", "export const end = (pid: number): boolean => process.kill(pid);"],
  ["globalThis.process", "engine", "export const found = globalThis.process;"],
  [
    "globalThis under another type",
    "engine",
    'export const found = (globalThis as unknown as Record<string, unknown>)["process"];',
  ],
  [
    "a process that the file declares by itself",
    "engine",
    "declare const process: { kill(pid: number): void };\nexport const end = (pid: number): void => process.kill(pid);",
  ],
  [
    "a global that the file declares",
    "engine",
    "declare global {\n  var process: { pid: number };\n}\nexport const own = (): number => process.pid;",
  ],
  ["code made out of text by Function", "engine", 'export const found: unknown = Function("return process")();'],
  ["code made out of text by eval", "engine", 'export const found: unknown = eval("process");'],
  ["an import of os", "engine", 'import * as other from "../os/accounts/as-user.ts";\nexport const found = other;'],
  ["an import of api", "engine", 'import * as other from "../api/access.ts";\nexport const found = other;'],
  [
    "an import of a package by its path",
    "engine",
    'import koffi from "../../../../node_modules/koffi/index.js";\nexport const found = koffi;',
  ],
  [
    "an import of the contract by its path",
    "engine",
    'import * as other from "../../../../packages/contract/src/index.ts";\nexport const found = other;',
  ],
  ["setTimeout", "core", "export const wait = (): unknown => setTimeout(() => undefined, 1);"],
  ["Date.now", "core", "export const now = (): number => Date.now();"],
  ["the date of today", "core", "export const now = (): Date => new Date();"],
  ["a random number", "core", "export const any = (): number => Math.random();"],
  ["an import of conf", "core", 'import * as other from "../conf/daemon-keys.ts";\nexport const found = other;'],
  ["a Buffer", "conf", 'export const bytes = Buffer.from("text");'],
  ["an import of engine", "conf", 'import * as other from "../engine/daemon.ts";\nexport const found = other;'],
  ["a variable of the environment", "launch", 'export const path = process.env["PATH"];'],
  ["an import of engine", "os", 'import * as other from "../../engine/daemon.ts";\nexport const found = other;'],
  ["an import of a higher room of os", "os", 'import * as other from "../logs/log.ts";\nexport const found = other;'],
  ["an import of koffi outside of os/kernel/libc.ts", "os", 'import koffi from "koffi";\nexport const found = koffi;'],
  ["a dynamic import of koffi in backticks", "os", "export const found = import(`koffi`);"],
  [
    "a require made by createRequire",
    "os",
    'import { createRequire } from "node:module";\nexport const found: unknown = createRequire(import.meta.url)("koffi");',
  ],
  ["an import of koffi", "web", 'import koffi from "koffi";\nexport const found = koffi;'],
  ["an import of pino", "web", 'import { pino } from "pino";\nexport const found = pino;'],
  ["an import of engine", "web", 'import * as other from "../engine/daemon.ts";\nexport const found = other;'],
  ["an import out of a package", "api", 'import * as other from "koffi/src/koffi.js";\nexport const found = other;'],
  ["an import of pino", "api", 'import { pino } from "pino";\nexport const found = pino;'],
  ["a dynamic import of koffi in a variable", "api", 'const name = "koffi";\nexport const found = import(name);'],
  ["an import of os", "api", 'import * as other from "../os/accounts/as-user.ts";\nexport const found = other;'],
  ["an import of fastify", "dmctl", 'import fastify from "fastify";\nexport const found = fastify;'],
  ["a dynamic import of fastify", "dmctl", 'export const found = import("fastify");'],
  [
    "an import of the supervisor by its package",
    "dmctl",
    'import * as other from "@dmhost/supervisor/src/core/backoff.ts";\nexport const found = other;',
  ],
  [
    "an import of the supervisor by its path",
    "dmctl",
    'import * as other from "../../supervisor/src/core/backoff.ts";\nexport const found = other;',
  ],
  ["an import of Node", "contract", 'import { readFileSync } from "node:fs";\nexport const found = readFileSync;'],
  [
    "an import of pino, which brings Node's types",
    "contract",
    'import { pino } from "pino";\nexport const found = pino;',
  ],
  ["a bare process", "contract", "export const own = (): number => process.pid;"],
  ["a constructor in a pattern", "core", "const { constructor: make } = () => 1;\nexport const found = make;"],
  [
    "a constructor in an assignment",
    "core",
    "let make: unknown;\n({ constructor: make } = () => 1);\nexport const found = make;",
  ],
  ["a constructor by an asserted name", "core", 'export const found = (() => 1)["constructor" as const];'],
  ["a constructor by a template", "core", "export const found = (() => 1)[`constructor`];"],
  ["a constructor of what may be missing", "core", "export const found = (f?: () => 1): unknown => f?.constructor;"],
  [
    "a constructor as a property's descriptor",
    "core",
    'export const found = Object.getOwnPropertyDescriptor(Object.prototype, "constructor");',
  ],
  ["a constructor by an escaped name", "core", "export const found = (() => 1).\\u0063onstructor;"],
  ["a constructor by an escaped string", "core", 'export const found = (() => 1)["\\x63onstructor"];'],
  [
    "an exported variable that the file declares",
    "core",
    "export declare const process: { kill(pid: number): void };\nexport const end = (pid: number): void => process.kill(pid);",
  ],
  [
    "an exported function that the file declares",
    "core",
    "export declare function setTimeout(then: () => void): void;\nexport const wait = (): void => setTimeout(() => undefined);",
  ],
  [
    "an exported class that the file declares",
    "core",
    "export declare class Buffer {}\nexport const found = new Buffer();",
  ],
  [
    "a global beside a unique symbol",
    "core",
    "declare const brand: unique symbol, process: { [brand]: number };\nexport const found = process;",
  ],
  ["Math in a typed variable", "core", "const m: Math = Math;\nexport const found = m.random();"],
  ["Math in an assignment", "core", "let random: unknown;\n({ random } = Math);\nexport const found = random;"],
  ["Math in a list", "core", "export const found = [Math][0]?.random();"],
  ["Math in parentheses", "core", "export const found = (Math).random();"],
  ["a random number of a Math that may be missing", "core", "export const found = Math?.random();"],
  ["Math in an object", "core", "export const found = { Math };"],
  ["Math as an argument", "core", "export const found = Object.keys(Math);"],
  ["text in the language of the machine", "core", "export const found = (1).toLocaleString();"],
  ["an order of the language of the machine", "core", 'export const found = "a".localeCompare("b");'],
  ["the stack", "core", "export const found = new Error().stack;"],
  ["the stack in a pattern", "core", "const { stack } = new Error();\nexport const found = stack;"],
  ["the stack by a computed name", "core", 'export const found = new Error()["stack"];'],
  ["a WeakRef", "core", "export const found = new WeakRef({});"],
  ...(["os", "api", "app", "dmctl"] as const).flatMap((room): (typeof PROBES)[number][] => [
    [
      "a built-in module by its name",
      room,
      'export const found = process.getBuiltinModule("node:module").createRequire(import.meta.url)("koffi");',
    ],
    [
      "a thread of another room's file",
      room,
      'import { Worker as Thread } from "node:worker_threads";\nexport const found = new Thread("./log.ts");',
    ],
  ]),
  [
    "an import of node:fs",
    "broker-contract",
    'import { readFileSync } from "node:fs";\nexport const found = readFileSync;',
  ],
  [
    "an import of node:fs",
    "broker/rules",
    'import { readFileSync } from "node:fs";\nexport const found = readFileSync;',
  ],
  ["a random number", "broker/rules", "export const found = Math.random();"],
  ["an import of the engine's client", "broker/rules", 'import Docker from "dockerode";\nexport const found = Docker;'],
  [
    "an import of the engine's client",
    "broker/service",
    'import Docker from "dockerode";\nexport const found = Docker;',
  ],
  ["an import of the engine's client", "broker/app", 'import Docker from "dockerode";\nexport const found = Docker;'],
  ["an import of the engine's client", "app", 'import Docker from "dockerode";\nexport const found = Docker;'],
  [
    "an import of the file that calls the engine",
    "broker/service",
    'import { DockerEngine } from "../docker/docker-engine.ts";\nexport const found = DockerEngine;',
  ],
  [
    "an import of the generated document",
    "contract",
    'import document from "../openapi.json" with { type: "json" };\nexport const found = document;',
  ],
];

/** Code that every room may have. */
const PLAIN = "export const double = (value: number): number => value * 2;";

let copy: string;
/** Categories of Biome's errors, by path in the copy. */
let lint: ReadonlyMap<string, readonly string[]>;

const probePath = (index: number): string => join(ROOMS[PROBES[index]?.[1] ?? "core"], `probe-${index}.ts`);
const plainPath = (room: Room): string => join(ROOMS[room], "plain.ts");

/** Runs one of the checkout's programs in the copy and returns its standard output, whatever its exit code. */
const runTool = (name: string, ...args: string[]): Promise<string> =>
  new Promise((resolve) => {
    const options = { cwd: copy, encoding: "utf8", maxBuffer: 64 << 20 } as const;
    execFile(process.execPath, [join(ROOT, "node_modules", name), ...args], options, (_, stdout) => resolve(stdout));
  });

/** Codes of the compiler's errors in a file, when its room is built. */
const compile = async (path: string): Promise<string[]> => {
  let room = dirname(path);
  while (!existsSync(join(copy, room, "tsconfig.json"))) room = dirname(room);
  const output = await runTool("typescript/lib/tsc.js", "--build", "--pretty", "false", room);
  const lines = output.split("\n").filter((line) => line.startsWith(`${path}(`));
  return lines.map((line) => /error (TS\d+)/.exec(line)?.[1] ?? line);
};

/** Copies the sources without tests, and links the packages; those of the repository are the copied ones. */
const makeCopy = (): void => {
  copy = mkdtempSync(join(tmpdir(), "dmhost-guard-"));
  const filter = (path: string): boolean => !/\.test\.ts$|\/node_modules$/.test(path);
  for (const name of ["apps", "packages", "lint", "biome.json", "tsconfig.base.json", ".gitignore"]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, filter });
  }
  const packages = join(copy, "node_modules");
  mkdirSync(join(packages, "@dmhost"), { recursive: true });
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".") && name !== "@dmhost") {
      symlinkSync(join(ROOT, "node_modules", name), join(packages, name));
    }
  }
  for (const path of ["packages/contract", "packages/broker-contract", "apps/supervisor"]) {
    symlinkSync(join(copy, path), join(packages, "@dmhost", basename(path)));
  }
};

interface BiomeReport {
  readonly diagnostics: readonly {
    readonly severity: string;
    readonly category: string;
    readonly location: { readonly path: string };
  }[];
}

/** Errors by which the guard refuses code. Another error means that the probe itself is wrong. */
const REFUSALS = [
  "plugin",
  "lint/style/noRestrictedImports",
  "lint/style/noRestrictedGlobals",
  "lint/security/noGlobalEval",
  "lint/style/useNodejsImportProtocol",
  // A file of another room.
  "TS6059",
  "TS6307",
  // A name that is not there, or is there only with Node's types.
  "TS2304",
  "TS2307",
  "TS2580",
  "TS2591",
  // JSON.
  "TS2732",
  "TS7017",
];

beforeAll(async () => {
  makeCopy();
  for (const [index, [, , text]] of PROBES.entries()) writeFileSync(join(copy, probePath(index)), `${text}\n`);
  for (const room of Object.keys(ROOMS) as Room[]) writeFileSync(join(copy, plainPath(room)), `${PLAIN}\n`);
  const report = await runTool("@biomejs/biome/bin/biome", "lint", "--max-diagnostics=none", "--reporter=json", ".");
  const errors = (JSON.parse(report) as BiomeReport).diagnostics.filter(({ severity }) => severity === "error");
  const byPath = Map.groupBy(errors, ({ location }) => location.path);
  lint = new Map([...byPath].map(([path, found]) => [path, found.map(({ category }) => category)]));
  // The compiler sees one probe at a time: the import of one would change the types that the others of its room see.
  for (const index of PROBES.keys()) rmSync(join(copy, probePath(index)));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

test.each(Object.keys(ROOMS) as Room[])("plain code passes the guard of the room %s", async (room) => {
  expect(lint.get(plainPath(room))).toBeUndefined();
  expect(await compile(plainPath(room))).toEqual([]);
});

test.each(PROBES.map(([what, room], index) => ({ what, room, index })))(
  "the guard of the room $room refuses $what",
  async ({ index }) => {
    const path = probePath(index);
    const [, , text = ""] = PROBES[index] ?? [];
    // A file that has moved would be refused because it is not there.
    for (const [, target = ""] of text.matchAll(/"(\.\.\/[^"]+)"/g)) {
      expect(existsSync(join(copy, dirname(path), target)), `${target} is there`).toBe(true);
    }
    writeFileSync(join(copy, path), `${text}\n`);
    const complaints = lint.get(path) ?? (await compile(path));
    rmSync(join(copy, path));
    expect(complaints).not.toEqual([]);
    expect(complaints.filter((each) => !REFUSALS.includes(each))).toEqual([]);
  },
);

/** Files below directories of the checkout, as paths from its root. */
const filesOf = (...directories: string[]): string[] =>
  directories.flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes("node_modules"))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
  );

/** Suppressed rules of Biome, `PATH: RULE`: the only ones. */
const SUPPRESSED = [
  "apps/supervisor/src/api/engine.fake.ts: lint/suspicious/noExplicitAny",
  "apps/supervisor/src/api/engine.fake.ts: lint/correctness/useYield",
  "apps/supervisor/src/core/site.ts: lint/suspicious/noControlCharactersInRegex",
];

/** Comments of a text that switch a check off, each reduced to the rule that it names where it has the usual form. */
const switchesIn = (text: string): string[] => {
  const found = text.match(/.*biome-ignore.*|@ts-(?:ignore|expect-error|nocheck)|^\s*\/\/\/.*/gm) ?? [];
  return found
    .map((line) => /^\s*\/\/ biome-ignore ([\w/]+): /.exec(line)?.[1] ?? line)
    .filter((rule) => rule !== "format");
};

test("no source file switches a check off by a comment, but for those in a list", () => {
  const sources = filesOf("apps", "packages").filter((path) => path.endsWith(".ts"));
  expect(sources.length).toBeGreaterThan(100);
  const found = sources.flatMap((path) =>
    switchesIn(readFileSync(join(ROOT, path), "utf8")).map((rule) => `${path}: ${rule}`),
  );
  expect(found.sort()).toEqual([...SUPPRESSED].sort());
});

test.each([
  "// biome-ignore lint/style: x",
  "// biome-ignore lint : x",
  "// biome-ignore  lint: x",
  "// biome-ignore lint/security/noGlobalEval: x",
  "// biome-ignore format lint/plugin: x",
  "// biome-ignore-all lint: x",
  "/* biome-ignore lint/plugin: x */",
  "/** biome-ignore-start lint/plugin: x */",
  ' /// <reference types="node" />',
  "\t///<reference types='node' />",
  "// @ts-ignore",
  "/* @ts-nocheck */",
])("the comment %j switches a check off", (comment) => {
  expect(switchesIn(`const before = 1;\n${comment}\nconst after = 2;`)).toHaveLength(1);
});

test("a comment that keeps a table in columns switches nothing off", () => {
  expect(switchesIn("// biome-ignore format: the table is read in columns")).toEqual([]);
});

test("every file is named after its subject", () => {
  const nameless = /(?:^|[-./])(?:utils?|helpers?|lib|common|managers?|misc)(?:[-./]|$)/;
  const files = filesOf("apps", "packages", "host", "lint", "test");
  // Perl's layout, and a policy file.
  const named = (path: string): boolean => path.startsWith("test/system/article/");
  expect(files.filter((path) => nameless.test(path) && !named(path))).toEqual([]);
});

const LONGEST = 400;

test(`no file of apps/ has more than ${LONGEST} lines`, () => {
  const long = filesOf("apps").filter(
    (path) => path.endsWith(".ts") && readFileSync(join(ROOT, path), "utf8").split("\n").length - 1 > LONGEST,
  );
  expect(long).toEqual([]);
});

/** Declarations of exported types of a file: names. */
const EXPORTED_TYPE = /^export (?:declare )?(?:abstract )?(?:interface|class|type|enum) (\w+)/gm;

test("no two files of apps/ and packages/ export different types of one name", () => {
  const sources = filesOf("apps", "packages").filter((path) => path.endsWith(".ts"));
  const declared = sources.flatMap((path) =>
    [...readFileSync(join(ROOT, path), "utf8").matchAll(EXPORTED_TYPE)].map(([, name = ""]) => ({ name, path })),
  );
  expect(declared.length).toBeGreaterThan(100);
  const twice = [...Map.groupBy(declared, ({ name }) => name)].flatMap(([name, found]) => {
    const paths = [...new Set(found.map(({ path }) => path))];
    return paths.length > 1 ? `${name}: ${paths.join(", ")}` : [];
  });
  expect(twice).toEqual([]);
});
