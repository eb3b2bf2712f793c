/**
 * Makes dist/, which needs neither node_modules nor a Node of the machine: `node` and what it runs, `supervisor.cjs` and `broker.cjs`
 * with `koffi.node` beside them; the shim, compiled by the machine's C compiler; `dmctl`, a program by itself; and the scripts of
 * daemontools/. With `--container` also `dmctl.cjs`, which `node` runs. Run it by the Node of node_modules.
 */
import { isAscii } from "node:buffer";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
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
  setup({ onLoad, onResolve }) {
    const native = "./koffi.node";
    onLoad({ filter: /\/koffi\/src\/koffi\/src\/static\.js$/ }, () => ({
      contents: `export const loadStatic = () => require("${native}");`,
    }));
    onResolve({ filter: /^\.\/koffi\.node$/ }, () => ({ path: native, external: true }));
  },
};

/** Modules that packages load for what the supervisor does not use: they take 5 MB of memory. */
const UNUSED: ReadonlySet<string> = new Set([
  "node:http2",
  "node:https",
  "@fastify/fast-json-stringify-compiler",
  "@fastify/proxy-addr",
  "light-my-request",
  "semver",
  "thread-stream",
]);

/** The same of dockerode: SSH and TLS, sessions of BuildKit, and what packs directories for builds. */
const UNUSED_OF_BROKER: ReadonlySet<string> = new Set([
  "@balena/dockerignore",
  "@grpc/grpc-js",
  "@grpc/proto-loader",
  "https",
  "protobufjs",
  "split-ca",
  "ssh2",
  "tar-fs",
  "thread-stream",
]);

const without = (unused: ReadonlySet<string>): Plugin => ({
  name: "without-unused",
  setup({ onLoad, onResolve }) {
    const namespace = "unused";
    onResolve({ filter: /./ }, ({ path }) => (unused.has(path) ? { path, namespace } : undefined));
    onLoad({ filter: /./, namespace }, () => ({ contents: "module.exports = {};" }));
  },
});

/** A program for the Node that ships with it. */
const BUNDLE = {
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node26",
  logLevel: "warning",
  // The bundler needs no tsconfig files, which are missing when an image is built.
  tsconfigRaw: {},
} as const;

/**
 * Bundles a program that goes on for long. Identifiers keep their names and lines stay short, so that stack traces can be read. It is a CommonJS
 * module: for an `import` of a module of Node, Node evaluates all its exports, and node:http alone takes 7 MB then.
 */
const bundleService = (main: string, bundle: string, unused: ReadonlySet<string>): Promise<unknown> =>
  build({
    entryPoints: [join(root, main)],
    outfile: join(dist, bundle),
    ...BUNDLE,
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    // The names of authors are not ASCII, which would double the memory that the text of the program takes.
    legalComments: "external",
    plugins: [koffiBesideBundle, without(unused)],
    define: { "import.meta.filename": "__filename", "import.meta.url": "__filename" },
  });

/** Compiles dmctl, which must not read settings from the directory it is called in: root may be in a tenant's. */
const compileDmctl = (): void => {
  const bun = join(packages, "@oven", `bun-linux-${bunArch}`, "bin/bun");
  const inert = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const output = ["--outfile", join(dist, "dmctl"), join(root, "apps/dmctl/src/main.ts")];
  execFileSync(bun, ["build", "--compile", "--bytecode", "--minify", ...inert, ...output], { stdio: "pipe" });
};

/** Bundles dmctl for Node. */
const bundleDmctl = (): Promise<unknown> =>
  build({
    entryPoints: [join(root, "apps/dmctl/src/main.ts")],
    outfile: join(dist, "dmctl.cjs"),
    ...BUNDLE,
    minify: true,
  });

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await bundleService("apps/supervisor/src/app/main.ts", "supervisor.cjs", UNUSED);
await bundleService("apps/broker/src/app/main.ts", "broker.cjs", UNUSED_OF_BROKER);
if (process.argv.includes("--container")) await bundleDmctl();
for (const bundle of ["supervisor.cjs", "broker.cjs"])
  if (!isAscii(readFileSync(join(dist, bundle)))) throw new Error(`dist/${bundle}: the bundle is not ASCII`);
copyFileSync(
  join(packages, `@koromix/koffi-linux-${process.arch}`, `linux_${process.arch}`, "koffi.node"),
  join(dist, "koffi.node"),
);
copyFileSync(join(packages, `node-linux-${process.arch}`, "bin/node"), join(dist, "node"));
chmodSync(join(dist, "node"), 0o755);
cpSync(join(root, "daemontools"), join(dist, "daemontools"), { recursive: true });
execFileSync(join(root, "shim/build"), ["program", join(dist, "dmhost-shim")], { stdio: "inherit" });
compileDmctl();
