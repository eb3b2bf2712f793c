/** The variables of an image: tenants choose images, so nothing in them is trusted. */

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Names that change how programs are loaded, or that the launch uses. */
const DANGEROUS = /^(?:LD_|DMHOST_)/;

const nameOf = (entry: string): string => entry.split("=", 1)[0] ?? "";

/** Variables that a program of the container may have. The last of a name counts. */
export const cleanEnvironment = (environment: readonly string[]): string[] => {
  const kept = environment.filter((entry) => {
    const name = nameOf(entry);
    return entry.includes("=") && !entry.includes("\0") && VARIABLE.test(name) && !DANGEROUS.test(name);
  });
  return [...new Map(kept.map((entry) => [nameOf(entry), entry])).values()];
};

/**
 * Entries that take the image's variables away from the container's first process: for the engine, a name without `=` is one that
 * must not be set. That process is the shim, a static program; it gets what a program may have with the plan of a run.
 */
export const withoutVariables = (environment: readonly string[]): string[] =>
  [...new Set(environment.map(nameOf))].filter((name) => name !== "" && !name.includes("\0"));
