import { defineConfig } from "vitest/config";

/** How many times longer than on a usual machine tests may take. */
const patience = Number(process.env["DMHOST_TEST_PATIENCE"] ?? 1);

/** Rooms whose coverage has a floor. The system tests execute os/ and the wiring of app/ as programs. */
const COVERED = [
  "packages/{contract,client}/src",
  "apps/dmctl/src",
  "apps/supervisor/src/{core,conf,launch,engine,web,api,app}",
  "apps/broker/src/rules",
];

export default defineConfig({
  test: {
    coverage: {
      provider: "v8",
      include: COVERED.map((room) => `${room}/**/*.ts`),
      exclude: ["**/*.test.ts", "**/*.fake.ts", "apps/supervisor/src/app/{main,wiring}.ts"],
      reporter: ["text-summary", "html"],
      reportsDirectory: ".cache/coverage",
      // The floor, in per cent of what the unit tests execute. It only rises, by `npm run coverage:raise`.
      thresholds: {
        autoUpdate: process.env["DMHOST_COVERAGE"] === "raise" && Math.floor,
        "packages/contract/src/**": { lines: 100, branches: 97 },
        "packages/client/src/**": { lines: 100, branches: 91 },
        "apps/supervisor/src/core/**": { lines: 99, branches: 96 },
        "apps/supervisor/src/conf/**": { lines: 100, branches: 96 },
        "apps/supervisor/src/launch/**": { lines: 100, branches: 96 },
        "apps/supervisor/src/engine/**": { lines: 99, branches: 97 },
        "apps/supervisor/src/web/**": { lines: 100, branches: 98 },
        "apps/supervisor/src/api/**": { lines: 99, branches: 94 },
        "apps/supervisor/src/app/**": { lines: 95, branches: 88 },
        "apps/broker/src/rules/**": { lines: 100, branches: 96 },
        "apps/dmctl/src/**": { lines: 96, branches: 90 },
      },
    },
    projects: [
      {
        test: {
          name: "unit",
          include: ["apps/**/*.test.ts", "packages/**/*.test.ts", "test/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
        },
      },
      {
        // What host/check.sh executes: rules over the sources.
        test: {
          name: "check",
          include: ["test/check/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          testTimeout: 60_000 * patience,
          hookTimeout: 60_000 * patience,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "appliance",
          include: ["test/appliance/**/*.test.ts"],
          testTimeout: 900_000,
          hookTimeout: 1_200_000,
          fileParallelism: false,
        },
      },
      {
        // Inside the virtual machine, with some files of `system`: see test/vm/machine/run.
        test: {
          name: "vm",
          include: ["test/vm/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
