/** Cost of thousands of sleeping sites: the same steps with 2,000, 6,000 and 10,000 of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Measures } from "./scale-run.ts";

const SITES = [2000, 6000, 10_000] as const;
/** Runs a program with separate mounts and network: socket diagnosis then finds these sockets alone, and other programs' none. */
const APART = [
  "unshare",
  "--mount",
  "--net",
  "--propagation",
  "private",
  "sh",
  "-c",
  'ip link set lo up; exec "$@"',
  "sh",
];

const measure = async (sites: number): Promise<Measures> => {
  const [file = "", ...words] = [...APART, process.execPath, join(import.meta.dirname, "scale-run.ts"), String(sites)];
  // Also a supervisor with quadratic cost must come to an end.
  const env = { ...process.env, DMHOST_TEST_PATIENCE: "30" };
  const child = spawn(file, words, { env, stdio: ["ignore", "pipe", "inherit"] });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  if (code !== 0) throw new Error(`${sites} sites could not be measured`);
  return JSON.parse(output) as Measures;
};

const row = (title: string, values: readonly number[], digits: number): string => {
  const ratio = (values.at(-1) ?? 0) / (values[0] ?? 0);
  return [
    `  ${title.padEnd(44)}`,
    ...values.map((value) => value.toFixed(digits).padStart(9)),
    Number.isFinite(ratio) ? ratio.toFixed(1).padStart(8) : "",
  ].join("");
};

/** Measures start, rescans, reloads, a changed site and shutdown, on the clock and in processor time. */
export const measureScale = async (): Promise<void> => {
  const all: Measures[] = [];
  for (const sites of SITES) all.push(await measure(sites));
  const [first] = all;
  console.log(
    `${SITES.join(", ")} sleeping sites of a quarter as many owners; the last column is the ratio of the ends`,
  );
  console.log("  on the clock, and processor time of the supervisor and its shim, in s");
  for (const [index, { name }] of (first?.steps ?? []).entries()) {
    const steps = all.flatMap((measures) => measures.steps[index] ?? []);
    console.log(
      row(
        name,
        steps.map(({ took }) => took),
        2,
      ),
    );
    console.log(
      row(
        "",
        steps.map(({ used }) => used),
        2,
      ),
    );
  }
  console.log(
    row(
      "sites with a host, by Nginx's descriptors",
      all.map(({ hosts }) => hosts),
      0,
    ),
  );
  for (const program of ["supervisor", "shim", "nginx"] as const)
    console.log(
      row(
        `memory of ${program}, PSS in MB`,
        all.map(({ memory }) => memory[program]),
        1,
      ),
    );
  console.log(
    row(
      "reloads by the SIGHUPs",
      all.map(({ reloads }) => reloads),
      0,
    ),
  );
};
