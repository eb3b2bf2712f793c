/** Whether ./dmhost and `docker compose` read the same files. */
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Appliance, CHECKOUT, PROJECT } from "./appliance.ts";

const OVERRIDE = join(CHECKOUT, "compose.override.yaml");
const hybrid = "/sys/fs/cgroup/unified";

let appliance: Appliance;

beforeAll(async () => {
  appliance = await Appliance.prepare();
  // Only ./dmhost finds out that the host has both cgroup v1 and v2.
  if (existsSync(hybrid)) appliance.environment["DMHOST_CGROUP"] = join(hybrid, PROJECT);
});
let isWritten = false;
afterEach(async () => {
  appliance.environment["COMPOSE_FILE"] = "compose.yaml";
  if (isWritten) await rm(OVERRIDE);
  isWritten = false;
});
afterAll(() => appliance?.remove());

/** Writes the override; fails where the checkout has one. */
const setVariable = async (word: string): Promise<void> => {
  const text = `services: { supervisor: { environment: { OVERRIDE: ${word} } } }\n`;
  await writeFile(OVERRIDE, text, { flag: "wx" });
  isWritten = true;
};
const ids = async (): Promise<string[]> => (await appliance.compose("ps", "--quiet")).split("\n").sort();
const variable = (): Promise<string> => appliance.shell("supervisor", 'echo "$OVERRIDE"');

it("./dmhost up and docker compose up both read compose.override.yaml, and neither recreates the other's containers", async () => {
  delete appliance.environment["COMPOSE_FILE"];
  await setVariable("beside");
  await appliance.dmhost("up");
  expect(await variable()).toBe("beside");
  const before = await ids();
  expect(before).toHaveLength(2);
  await appliance.compose("up", "--detach", "--wait");
  expect(await ids()).toEqual(before);
  await appliance.dmhost("up");
  expect(await ids()).toEqual(before);
});

it("./dmhost up and docker compose up both read COMPOSE_FILE, and neither recreates the other's containers", async () => {
  await setVariable("named");
  appliance.environment["COMPOSE_FILE"] = `compose.yaml:${basename(OVERRIDE)}`;
  await appliance.compose("up", "--detach", "--wait");
  expect(await variable()).toBe("named");
  const before = await ids();
  await appliance.dmhost("up");
  expect(await ids()).toEqual(before);
});
