/**
 * Writes what docs, man pages and completion repeat from the code: `npm run generate`. Each `generate-*.ts` of this
 * folder exports `artefacts`; test/generated.test.ts fails where a file is not what they say.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Artefact } from "./artefact.ts";

const root = resolve(import.meta.dirname, "..");

/** Every generated file, by its path relative to the repository's root: its text on disk, and the text it should have. */
export const generatedFiles = async (): Promise<
  Map<string, { readonly current: string; readonly expected: string }>
> => {
  const files = new Map<string, { current: string; expected: string }>();
  for (const name of globSync("generate-*.ts", { cwd: import.meta.dirname }).sort()) {
    const topic = name.slice("generate-".length, -".ts".length);
    const module = (await import(`./generate-${topic}.ts`)) as { readonly artefacts: () => readonly Artefact[] };
    for (const artefact of module.artefacts()) {
      const path = join(root, artefact.path);
      const current = files.get(artefact.path)?.current ?? (existsSync(path) ? readFileSync(path, "utf8") : "");
      const expected = artefact.apply(files.get(artefact.path)?.expected ?? current);
      files.set(artefact.path, { current, expected });
    }
  }
  return files;
};

if (import.meta.main) {
  for (const [path, { current, expected }] of await generatedFiles()) {
    if (current === expected) continue;
    writeFileSync(join(root, path), expected);
    console.log(`wrote ${path}`);
  }
}
