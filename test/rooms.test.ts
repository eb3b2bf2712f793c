import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");
const supervisor = "apps/supervisor/src";

/** A room, and what its files may import: other rooms, and packages (`node:` stands for all of Node's own). */
interface Room {
  readonly rooms: readonly string[];
  /** Rooms of which only types may be imported. */
  readonly types?: readonly string[];
  readonly packages: readonly string[];
}

/** The import table of docs/architecture.md. main.ts may import everything. */
const ROOMS: Record<string, Room> = {
  core: { rooms: ["core"], packages: [] },
  contract: { rooms: [], packages: [] },
  machine: { rooms: [], types: ["core"], packages: [] },
  conf: { rooms: ["conf", "core"], packages: [] },
  os: { rooms: ["os"], types: ["core", "machine"], packages: ["node:", "koffi"] },
  instance: { rooms: ["core"], types: ["machine"], packages: [] },
  premises: { rooms: ["core"], types: ["instance", "machine"], packages: [] },
  waiters: { rooms: ["core"], types: ["instance"], packages: [] },
  idleness: { rooms: [], types: ["machine"], packages: [] },
  "rolling-restart": { rooms: ["core"], types: ["instance", "machine", "waiters"], packages: [] },
  daemon: {
    rooms: ["core", "idleness", "instance", "premises", "rolling-restart", "waiters"],
    types: ["machine"],
    packages: [],
  },
  "memory-guard": { rooms: ["core"], types: ["daemon", "instance", "machine"], packages: [] },
  judgement: { rooms: ["core"], types: ["daemon", "instance"], packages: [] },
  supervisor: {
    rooms: ["core", "daemon", "judgement", "memory-guard"],
    types: ["instance", "machine", "waiters"],
    packages: [],
  },
  hosting: { rooms: ["core"], types: ["daemon", "instance", "machine"], packages: [] },
  api: {
    rooms: ["api", "contract", "core"],
    types: ["daemon", "instance", "supervisor"],
    packages: ["node:", "fastify"],
  },
  dmctl: { rooms: ["dmctl"], packages: ["node:", "@dmhost/supervisor/contract"] },
};

const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join(folder, name));

const roomOf = (path: string): string => {
  if (path.startsWith("apps/dmctl/")) return "dmctl";
  const [first = ""] = relative(supervisor, path).split("/");
  return first.replace(/\.ts$/, "");
};

const IMPORT = /^(?:import|export)(\s+type)?\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;

const wrongImports = (path: string): string[] => {
  const room = ROOMS[roomOf(path)];
  if (!room) return [`${path}: no such room`];
  const text = readFileSync(join(root, path), "utf8");
  return [...text.matchAll(IMPORT)].flatMap(([statement, typeOnly, from, bare, dynamic]) => {
    const source = from ?? bare ?? dynamic ?? "";
    if (!source.startsWith(".")) {
      const known = room.packages.some((name) => (name.endsWith(":") ? source.startsWith(name) : source === name));
      return known ? [] : [`${path} imports ${source}`];
    }
    const target = roomOf(relative(root, resolve(root, dirname(path), source)));
    if (room.rooms.includes(target)) return [];
    const onlyTypes = typeOnly !== undefined || /\{(\s*type\s[^,}]+,?)+\s*\}/.test(statement);
    return onlyTypes && room.types?.includes(target)
      ? []
      : [`${path} imports ${onlyTypes ? "types of " : ""}${target}`];
  });
};

it("keeps the rooms apart", () => {
  const files = [...sources(supervisor), ...sources("apps/dmctl/src")].filter(
    (path) => !path.endsWith("src/main.ts") || path.startsWith("apps/dmctl"),
  );
  expect(files.length).toBeGreaterThan(30);
  expect(files.flatMap(wrongImports)).toEqual([]);
});

it("notices a wrong import", () => {
  expect([...'import { spawn } from "node:child_process";'.matchAll(IMPORT)].map((match) => match[2])).toEqual([
    "node:child_process",
  ]);
  expect(ROOMS["core"]?.packages).toEqual([]);
});

it("has no file without a subject", () => {
  const vague = [...sources("apps"), ...sources("test")].filter((path) =>
    /\/(utils?|helpers?|lib|common|manager|misc)\.ts$/.test(path),
  );
  expect(vague).toEqual([]);
});
