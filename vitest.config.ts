import { defineConfig } from "vitest/config";

/** How many times longer than on a usual machine tests may take. */
const patience = Number(process.env["DMHOST_TEST_PATIENCE"] ?? 1);

export default defineConfig({
  test: {
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
