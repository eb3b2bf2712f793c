/** The table of states in docs/reference/lifecycle.md. */
import { STATE_MEANINGS } from "@dmhost/contract";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

const rows = Object.entries(STATE_MEANINGS).map(([state, meaning]) => [`\`${state}\``, meaning]);

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => [
  region("docs/reference/lifecycle.md", "states", table(["state", "meaning"], rows)),
];
