/** packages/contract/openapi.json, out of the schemas of the control API. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openapi } from "@dmhost/contract/openapi";

const PATH = "packages/contract/openapi.json";

/** The generated file: its path relative to the repository's root, and its text. */
export const artefacts = () => [{ path: PATH, text: `${JSON.stringify(openapi(), undefined, 2)}\n` }];

if (import.meta.main) {
  for (const { path, text } of artefacts()) writeFileSync(join(import.meta.dirname, "..", path), text);
}
