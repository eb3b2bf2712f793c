/**
 * Makes dist/, which needs neither node_modules nor a Node of the machine: `node` and what it runs, `supervisor.js`
 * with `koffi.node` beside it; the shim, compiled by the machine's C compiler; `dmctl`, a program by itself; and the scripts of
 * daemontools/. Run it by the Node of node_modules.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";

const root = import.meta.dirname;
const packages = join(root, "node_modules");
const dist = join(root, "dist");
/** Bun's word for the processor, where Node and npm say arm64. */
const bunArch = process.arch === "arm64" ? "aarch64" : process.arch;

/** koffi looks for its native half in node_modules; here it is the file beside the bundle. */
const koffiBesideBundle: Plugin = {
  name: "koffi-beside-bundle",
  setup({ onLoad }) {
    onLoad({ filter: /\/koffi\/src\/koffi\/src\/static\.js$/ }, () => ({
      contents: `
        import { createRequire } from "node:module";
        export const loadStatic = () => createRequire(import.meta.url)("./koffi.node");`,
    }));
  },
};

/** Bundles the supervisor. Identifiers keep their names and lines stay short, so that stack traces can be read. */
const bundleSupervisor = (): Promise<unknown> =>
  build({
    entryPoints: [join(root, "apps/supervisor/src/app/main.ts")],
    outfile: join(dist, "supervisor.js"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node26",
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    legalComments: "eof",
    logLevel: "warning",
    // The bundler needs no tsconfig files, which are missing when an image is built.
    tsconfigRaw: {},
    plugins: [koffiBesideBundle],
    // Bundled CommonJS packages still call require for modules of Node.
    banner: { js: 'import{createRequire as requireFrom}from"node:module";const require=requireFrom(import.meta.url);' },
  });

/** Compiles dmctl, which must not read settings from the directory it is called in: root may be in a tenant's. */
const compileDmctl = (): void => {
  const bun = join(packages, "@oven", `bun-linux-${bunArch}`, "bin/bun");
  const inert = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const output = ["--outfile", join(dist, "dmctl"), join(root, "apps/dmctl/src/main.ts")];
  execFileSync(bun, ["build", "--compile", "--bytecode", "--minify", ...inert, ...output], { stdio: "pipe" });
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await bundleSupervisor();
copyFileSync(
  join(packages, `@koromix/koffi-linux-${process.arch}`, `linux_${process.arch}`, "koffi.node"),
  join(dist, "koffi.node"),
);
copyFileSync(join(packages, `node-linux-${process.arch}`, "bin/node"), join(dist, "node"));
chmodSync(join(dist, "node"), 0o755);
cpSync(join(root, "daemontools"), join(dist, "daemontools"), { recursive: true });
execFileSync(join(root, "shim/build"), ["program", join(dist, "dmhost-shim")], { stdio: "inherit" });
compileDmctl();
