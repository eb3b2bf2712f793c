/** Decisions of host/*.sh, with the commands around them replaced. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";

const host = resolve(import.meta.dirname, "../host");
const directory = mkdtempSync(join(tmpdir(), "host-scripts-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The lines that a script prints, after host/demo-site.sh and host/docker-site.sh. $1 is a policy file with this text. */
const printed = (script: string, policy: string): string[] => {
  const file = join(directory, "policy");
  writeFileSync(file, policy);
  const sources = `set -eu; . ${host}/demo-site.sh; . ${host}/docker-site.sh; step() { echo "$*"; }`;
  return execFileSync("sh", ["-c", `${sources}\n${script}`, "sh", file], { encoding: "utf8" })
    .trimEnd()
    .split("\n");
};

test.each([
  ["[runs_as]\ndmhost-demo:\n", "yes"],
  ["[ can_run_as ]\n dmhost-demo : www-data # the demo\n", "yes"],
  ["[runs_as]\n# dmhost-demo:\nalice: dmhost-demo\n", "no"],
  ["[manages]\ndmhost-demo: alice\n", "no"],
  ["", "no"],
])("whether the policy %j lists the demo tenant: %s", (policy, answer) => {
  expect(printed('if policy_lists_demo "$1"; then echo yes; else echo no; fi', policy)).toEqual([answer]);
});

const DOCKER = `
docker_policy=$1
docker_await_site() { docker_address=127.0.0.1:8080; echo waited; }
docker_exec() { echo status; }
docker_demo_site
`;

test("Docker mode waits for the demo site if the policy lists its tenant", () => {
  expect(printed(DOCKER, "[runs_as]\ndmhost-demo:\n")).toEqual([
    "waited",
    "",
    "The demo site:   http://127.0.0.1:8080/",
    "Its daemon, as its owner dmhost-demo sees it (dmctl status):",
    "",
    "status",
  ]);
});

test("Docker mode does not wait for the demo site if the policy does not list its tenant", () => {
  expect(printed(DOCKER, "[runs_as]\nalice:\n")).toEqual([
    `no demo site: ${directory}/policy does not list its tenant; to run it, add under [runs_as] the line  dmhost-demo:`,
  ]);
});
