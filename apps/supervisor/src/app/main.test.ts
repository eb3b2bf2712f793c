import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "@dmhost/contract";
import { afterEach, beforeEach, expect, test } from "vitest";
import { USAGE } from "./flags.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "main-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const run = (...args: string[]) => {
  const program = join(import.meta.dirname, "main.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};

test("the supervisor prints its version or its usage and starts nothing", () => {
  expect(run("--version")).toEqual({ status: 0, stdout: `${VERSION}\n`, stderr: "" });
  expect(run("--help")).toEqual({ status: 0, stdout: USAGE, stderr: "" });
});

test("a wrong option ends the supervisor with one line that names it", () => {
  expect(run("--http-port", "0")).toEqual({
    status: 1,
    stdout: "",
    stderr: "dmhost supervisor: --http-port 0: expected a TCP port from 1 to 65535\n",
  });
});

test("a descriptor for readiness that is no number ends the supervisor with one line that names the variable", () => {
  const program = join(import.meta.dirname, "main.ts");
  const env = { ...process.env, DMHOST_READY_FD: "1" };
  const { status, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8", env });
  const line = "dmhost supervisor: DMHOST_READY_FD=1: expected the number of a descriptor from 3 to 9999\n";
  expect([status, stderr]).toEqual([1, line]);
});

test("a supervisor whose policy is refused says every problem and leaves no directory", () => {
  const policy = join(directory, "policy.conf");
  writeFileSync(policy, "[nonsense]\n", { mode: 0o600 });
  const places = ["run", "state", "fastcgi"].flatMap((name) => [`--${name}-dir`, join(directory, name)]);
  const { status, stderr } = run("--config", policy, ...places);
  expect([status, readdirSync(directory)]).toEqual([1, ["policy.conf"]]);
  expect(stderr).toMatch(`dmhost supervisor: ${policy}:1: `);
});

test("a supervisor whose directory is in use ends with its exit code and one line that names the directory", async () => {
  const policy = join(directory, "policy.conf");
  writeFileSync(policy, "", { mode: 0o600 });
  const places = ["run", "state", "fastcgi"].flatMap((name) => [`--${name}-dir`, join(directory, name)]);
  mkdirSync(join(directory, "run"));
  const lockFile = join(directory, "run/supervisor.lock");
  const holder = spawn("flock", ["--no-fork", lockFile, "sh", "-c", "echo locked; exec sleep 60"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  const { status, stderr } = run("--config", policy, ...places);
  holder.kill();
  expect(status).toBe(100);
  expect(stderr).toMatch(
    `dmhost supervisor: ${join(directory, "run")}: another supervisor (pid ) uses this directory; `,
  );
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});
