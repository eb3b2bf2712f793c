import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BrokerState, lockState } from "./state-files.ts";

const purpose = { owner: "alice", name: "web", instance: 1, run: 2 };
let directory: string;
const file = (name: string): string => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-broker-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("the next broker has the same id, containers and meanings, in files for its account alone", () => {
  const state = new BrokerState(directory);
  state.addContainer("c1", purpose);
  state.addContainer("c2", purpose);
  state.dropContainer("c1");
  state.setMeaning("docker.io/library/php:8.4", "sha256:1");
  const next = new BrokerState(directory);
  expect(next.id).toMatch(/^[0-9a-f]{32}$/);
  expect(next.id).toBe(state.id);
  expect([...next.containers]).toEqual([["c2", purpose]]);
  expect([...next.meanings]).toEqual([["docker.io/library/php:8.4", "sha256:1"]]);
  for (const name of ["id.json", "containers.json", "images.json"])
    expect(statSync(file(name)).mode & 0o777).toBe(0o600);
});

test.each([
  ["no JSON", () => "{"],
  ["a changed value", (text: string) => text.replace("sha256:1", "sha256:2")],
  ["another format", (text: string) => text.replace('"format":1', '"format":2')],
  ["nothing", () => ""],
  ["null", () => "null"],
])("a record of images with %s refuses and stays as it is", (_what, damage) => {
  new BrokerState(directory).setMeaning("php", "sha256:1");
  const text = damage(readFileSync(file("images.json"), "utf8"));
  writeFileSync(file("images.json"), text);
  const state = new BrokerState(directory);
  expect(state.objections).toEqual([expect.stringMatching(/images\.json: .*; restore it, or remove it/)]);
  expect(() => state.meanings).toThrow("images.json");
  expect(() => state.setMeaning("php", "sha256:2")).toThrow("images.json");
  expect(readFileSync(file("images.json"), "utf8")).toBe(text);
});

test("records of another shape are damaged", () => {
  const state = new BrokerState(directory);
  state.addContainer("c1", purpose);
  writeFileSync(file("images.json"), readFileSync(file("containers.json")));
  expect(new BrokerState(directory).objections).toHaveLength(1);
});

test("without its id the broker does not start", () => {
  new BrokerState(directory);
  writeFileSync(file("id.json"), "x");
  expect(() => new BrokerState(directory)).toThrow("id.json: is damaged: it is no JSON; remove it");
});

test("one broker at a time uses a state directory", () => {
  lockState(file("state"));
  expect(() => lockState(file("state"))).toThrow("another broker uses this state directory");
});

test("the number of records is bounded", () => {
  const state = new BrokerState(directory);
  for (let index = 0; index < 4096; index += 1) (state.meanings as Map<string, string>).set(`i${index}`, "sha256:1");
  expect(() => state.setMeaning("one more", "sha256:1")).toThrow("4096 entries");
  expect(() => state.setMeaning("i0", "sha256:2")).not.toThrow();
});
