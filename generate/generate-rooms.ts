/** The table of allowed imports and its picture in docs/explanation/architecture.md, out of the project references. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

const root = resolve(import.meta.dirname, "..");

/** A folder with a tsconfig.json: the unit of the compiler's import check. */
interface Room {
  /** As the docs call it: `core`, `os/kernel`, `dmctl`. */
  readonly name: string;
  readonly folder: string;
  /** What the room is for: `display` of its tsconfig.json. */
  readonly purpose: string;
  /** Names of the rooms that it may import. */
  readonly imports: readonly string[];
  /** Whether it sees the types of Node. */
  readonly node: boolean;
}

interface Project {
  readonly display?: string;
  readonly compilerOptions?: { readonly types?: readonly string[] };
  readonly references?: readonly { readonly path: string }[];
}

const nameOf = (folder: string): string =>
  folder.replace(/^apps\/supervisor\/src\/|^(apps|packages)\//, "").replace("/src/", "/");

/** Throws where the tsconfig.json does not say what the room is for. */
const roomAt = (config: string): Room => {
  const folder = dirname(config);
  const project = JSON.parse(readFileSync(join(root, config), "utf8")) as Project;
  if (project.display === undefined) throw new Error(`${config}: expected "display", what the room is for`);
  const imports = (project.references ?? []).map(({ path }) => nameOf(relative(root, resolve(root, folder, path))));
  return {
    name: nameOf(folder),
    folder,
    purpose: project.display,
    imports: imports.sort(),
    node: project.compilerOptions?.types?.includes("node") ?? false,
  };
};

/** Every room, the topmost first: a room comes before all that it imports. Throws where references form a circle. */
export const rooms = (): readonly Room[] => {
  const configs = globSync("{apps,packages}/**/tsconfig.json", {
    cwd: root,
    exclude: (path) => path === "node_modules",
  });
  const found = configs.filter((config) => config !== "apps/supervisor/tsconfig.json").sort();
  const open = new Map(found.map((config) => roomAt(config)).map((room) => [room.name, room]));
  const sorted: Room[] = [];
  while (open.size > 0) {
    const free = [...open.values()].find(
      ({ name }) => ![...open.values()].some(({ imports }) => imports.includes(name)),
    );
    if (free === undefined) throw new Error(`project references form a circle among ${[...open.keys()].join(", ")}`);
    open.delete(free.name);
    sorted.push(free);
  }
  return sorted;
};

/** The imports that no other import implies, so that the picture has few arrows. */
const direct = (room: Room, all: ReadonlyMap<string, Room>): readonly string[] => {
  const reaches = (from: string, to: string): boolean =>
    (all.get(from)?.imports ?? []).some((next) => next === to || reaches(next, to));
  return room.imports.filter((name) => !room.imports.some((other) => other !== name && reaches(other, name)));
};

const picture = (all: readonly Room[]): string => {
  const byName = new Map(all.map((room) => [room.name, room]));
  const id = (name: string): string => name.replaceAll("/", "-");
  const arrows = all.flatMap((room) => direct(room, byName).map((name) => `  ${id(room.name)} --> ${id(name)}`));
  return ["```mermaid", "flowchart TD", ...all.map(({ name }) => `  ${id(name)}["${name}"]`), ...arrows, "```"].join(
    "\n",
  );
};

const roomTable = (all: readonly Room[]): string =>
  table(
    ["room", "purpose", "may import", "Node"],
    all.map(({ name, folder, purpose, imports, node }) => [
      `[\`${name}\`](../../${folder})`,
      purpose,
      imports.map((room) => `\`${room}\``).join(", ") || "nothing",
      node ? "yes" : "no",
    ]),
  );

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => {
  const all = rooms();
  return [region("docs/explanation/architecture.md", "rooms", `${picture(all)}\n\n${roomTable(all)}`)];
};
