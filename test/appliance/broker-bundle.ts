/** The broker as a program that an account can run which cannot reach the checkout. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { CHECKOUT } from "./appliance.ts";

/** Modules of dockerode that the broker does not use (build.ts). */
const UNUSED = /^(@balena\/dockerignore|@grpc\/grpc-js|@grpc\/proto-loader|protobufjs|split-ca|ssh2|tar-fs)$/;

const withoutUnused: Plugin = {
  name: "without-unused",
  setup({ onLoad, onResolve }) {
    onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: "unused" }));
    onLoad({ filter: /./, namespace: "unused" }, () => ({ contents: "module.exports = {};" }));
  },
};

/** Makes `broker.cjs` and the modules that cannot be bundled in a directory. */
export const addBroker = async (directory: string): Promise<void> => {
  await build({
    absWorkingDir: CHECKOUT,
    entryPoints: ["apps/broker/src/app/main.ts"],
    outfile: join(directory, "broker.cjs"),
    bundle: true,
    platform: "node",
    format: "cjs",
    external: ["koffi"],
    plugins: [withoutUnused],
    define: { "import.meta.filename": "__filename", "import.meta.url": "__filename" },
    logLevel: "error",
  });
  for (const part of ["koffi", "@koromix"])
    cpSync(join(CHECKOUT, "node_modules", part), join(directory, "node_modules", part), { recursive: true });
};
