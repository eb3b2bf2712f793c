/** packages/contract/openapi.json, out of the schemas of the control API. */
import { openapi } from "@dmhost/contract/openapi";
import type { Artefact } from "./artefact.ts";

export const artefacts = (): readonly Artefact[] => [
  { path: "packages/contract/openapi.json", apply: () => `${JSON.stringify(openapi(), undefined, 2)}\n` },
];
