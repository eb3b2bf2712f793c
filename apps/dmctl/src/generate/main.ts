/** `npm run generate`: brings up to date what is made from the table of commands. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { COMPLETION_FILES } from "./completion.ts";
import { currentPage } from "./manual.ts";

/** How each file becomes current, by its path in the repository. */
export const GENERATED: Readonly<Record<string, (text: string) => string>> = {
  ...COMPLETION_FILES,
  "man/dmctl.1.md": currentPage,
};

/** The repository. */
export const ROOT = resolve(import.meta.dirname, "../../../..");

if (import.meta.main) {
  for (const [path, current] of Object.entries(GENERATED)) {
    const before = readFileSync(join(ROOT, path), "utf8");
    const after = current(before);
    if (after === before) continue;
    writeFileSync(join(ROOT, path), after);
    console.log(`${path}: written`);
  }
}
