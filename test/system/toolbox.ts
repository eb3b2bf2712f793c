/** Programs that an ordinary account can run even if it cannot reach the checkout: Node, and each program as one file. */
import { copyFileSync, cpSync, linkSync, mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { CHECKOUT } from "./program.ts";

/** Paths of the programs in a toolbox. */
export interface Toolbox {
  readonly node: string;
  readonly dmctl: string;
  readonly visitor: string;
}

const ENTRIES = { dmctl: "apps/dmctl/src/main.ts", visitor: "test/system/visitor.ts" };

/** Makes `directory` and fills it; returns the programs' paths. */
export const fillToolbox = async (directory: string): Promise<Toolbox> => {
  mkdirSync(directory, { mode: 0o755 });
  const node = join(directory, "node");
  const own = realpathSync(join(CHECKOUT, "node_modules/.bin/node"));
  try {
    linkSync(own, node);
  } catch {
    // The directory is on another file system.
    copyFileSync(own, node);
  }
  await build({
    absWorkingDir: CHECKOUT,
    entryPoints: ENTRIES,
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  return { node, dmctl: join(directory, "dmctl.mjs"), visitor: join(directory, "visitor.mjs") };
};

/** Adds the supervisor and its modules that cannot be bundled to a toolbox; returns the path of its main file. */
export const addSupervisor = async (directory: string): Promise<string> => {
  const outfile = join(directory, "supervisor.mjs");
  await build({
    absWorkingDir: CHECKOUT,
    entryPoints: ["apps/supervisor/src/app/main.ts"],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["koffi"],
    banner: { js: 'import{createRequire as requireFrom}from"node:module";const require=requireFrom(import.meta.url);' },
    logLevel: "error",
  });
  for (const part of ["koffi", "@koromix"]) {
    cpSync(join(CHECKOUT, "node_modules", part), join(directory, "node_modules", part), { recursive: true });
  }
  cpSync(join(CHECKOUT, "daemontools"), join(directory, "daemontools"), { recursive: true });
  copyFileSync(join(CHECKOUT, "shim/dmhost-shim"), join(directory, "dmhost-shim"));
  return outfile;
};
