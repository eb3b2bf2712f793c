import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ShimLink } from "./link.ts";
import { isOutdated } from "./open-shim.ts";
import type { ShimPlan } from "./plan.ts";
import { Shim } from "./shim.ts";
import { endShim, startedShim } from "./started-shim.fake.ts";
import { VERSIONS } from "./wire.ts";

let directory: string;
let link: ShimLink;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "shim-"));
  link = await startedShim(directory);
});
afterEach(() => {
  endShim(link);
  rmSync(directory, { recursive: true });
});

test("a reply that comes too late is never taken for that of a later request", async () => {
  const shim = new Shim(join(directory, "shim.sock"), VERSIONS, 100);
  const reasons: unknown[] = [];
  shim.broken = (error) => reasons.push(error);
  process.kill(shim.pid, "SIGSTOP");
  expect(() => shim.list()).toThrow("shim: list: no reply in time");
  process.kill(shim.pid, "SIGCONT");
  expect(() => shim.forget("nothing")).toThrow("shim: forget nothing: the connection is broken");
  await nextTurn();
  expect(reasons).toHaveLength(1);
  shim.close();
});

test("the replies to requests that nobody waits for are never taken for that of a later one", async () => {
  const shim = new Shim(join(directory, "shim.sock"), VERSIONS, 10_000);
  const failures: string[] = [];
  const failed = (error: unknown): void => void failures.push((error as Error).message);
  shim.note("large", "x".repeat(20_000), failed);
  for (let number = 0; number < 200; number += 1) shim.note(`n${number}`, "x", failed);
  expect(shim.list()).toHaveLength(200);
  expect(failures).toEqual([expect.stringContaining("shim: note large: E2BIG")]);
  shim.close();
});

test("what a supervisor had sent before it ended counts, though nobody reads the replies", async () => {
  const shim = new Shim(join(directory, "shim.sock"), VERSIONS, 10_000);
  process.kill(shim.pid, "SIGSTOP");
  for (let number = 0; number < 50; number += 1) shim.note(`n${number}`, "x".repeat(500), () => undefined);
  shim.close();
  process.kill(shim.pid, "SIGCONT");
  await expect.poll(() => link.requests.list().length).toBe(50);
});

test("an exit that cannot be acknowledged breaks the connection", async () => {
  const shim = new Shim(join(directory, "shim.sock"), VERSIONS, 10_000);
  const reasons: unknown[] = [];
  shim.broken = (error) => reasons.push(error);
  shim.forget("nothing");
  shim.list();
  await nextTurn();
  expect(reasons).toEqual([expect.objectContaining({ code: "ENOENT" })]);
  shim.close();
});

test("a request that is not answered is reported once as the loss of the shim", async () => {
  const reasons: string[] = [];
  link.lost = (reason) => reasons.push(reason);
  link.requests.broken(new Error("no reply in time"));
  expect(reasons).toEqual(["no reply in time"]);
});

const followedPlan = (value = ""): ShimPlan => ({
  words: ["/bin/sleep", "9"],
  environment: new Map([["VALUE", value]]),
  directory: "/",
  account: process.getuid?.() === 0 ? { uid: 65534, gid: 65534, groups: [] } : undefined,
  again: 100,
});

test("the shim keeps no long plan for another run", () => {
  link.requests.launch("short", followedPlan("x".repeat(8_000)));
  link.requests.permitNext("short", 0);
  link.requests.launch("long", followedPlan("x".repeat(9_000)));
  expect(() => link.requests.permitNext("long", 0)).toThrow("EINVAL, no run can follow it");
});

test("a shim of the first version gets plans that it knows", async () => {
  const shim = new Shim(join(directory, "shim.sock"), { lowest: 1, highest: 1 }, 10_000);
  shim.launch("run", followedPlan());
  expect(() => shim.permitNext("run", 100)).toThrow("shim: again run: EINVAL, no run can follow it");
  shim.close();
});

test("a shim is outdated where another build of it is installed", () => {
  const program = join(directory, "supervisor.cjs");
  expect(isOutdated(link, join(import.meta.dirname, "../../app/main.ts"))).toBe(false);
  writeFileSync(join(directory, "dmhost-shim"), "#!/bin/sh\necho 1\n", { mode: 0o755 });
  expect(isOutdated(link, program)).toBe(true);
  rmSync(join(directory, "dmhost-shim"));
  expect(isOutdated(link, program)).toBe(false);
});
