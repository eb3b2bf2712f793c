/** The packages of each figure in docs/explanation/benchmarks.md, out of the table that the benchmarks check. */
import { FIGURES, PACKAGES } from "../test/bench/packages.ts";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

export const artefacts = (): readonly Artefact[] => [
  region(
    "docs/explanation/benchmarks.md",
    "packages",
    table(
      ["figure", "packages of Debian"],
      FIGURES.map((figure) => [`\`${figure}\``, PACKAGES[figure].map((name) => `\`${name}\``).join(", ")]),
    ),
  ),
];
