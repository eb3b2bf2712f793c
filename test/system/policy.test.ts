/** The policy file: where it is found, when it is refused, and how a new one takes effect. */

import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { isRunning } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;
let refused = 0;

beforeAll(async () => {
  stage = await Stage.make();
  [alice, bob] = [await stage.account("alice"), await stage.account("bob")];
  for (const account of [alice, bob]) account.writeConf("one", "start = exec sleep 1000");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name, "dmt-nobody-at-all"]);
  await supervisor.start();
});
afterAll(() => stage.remove());

/** Starts a supervisor whose policy file has been spoilt; returns its exit code and its log. */
const tryWith = async (spoil: (path: string) => void): Promise<string> => {
  refused += 1;
  const spoilt = stage.supervisor(`refused${refused}`, ["[runs_as]", alice.name]);
  spoil(spoilt.config);
  const [code] = (await once(spoilt.spawn(), "exit")) as [number];
  return `${code} ${spoilt.text().trim().replaceAll(spoilt.config, "POLICY")}`;
};

test.each<[string, (path: string) => void, string]>([
  [
    "writable by a group",
    (path) => chmodSync(path, 0o664),
    "POLICY: accounts other than its owner may write to the policy file (mode 0664); chmod go-w it",
  ],
  [
    "writable by everybody",
    (path) => chmodSync(path, 0o646),
    "POLICY: accounts other than its owner may write to the policy file (mode 0646); chmod go-w it",
  ],
  [
    "owned by a tenant",
    (path) => chownSync(path, alice.uid, alice.gid),
    "POLICY: the policy file belongs to uid UID; chown root it",
  ],
  [
    "a directory",
    (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    "POLICY: the policy must be a regular file",
  ],
  ["missing", (path) => rmSync(path), "POLICY: the policy file cannot be opened: ENOENT"],
  [
    "malformed",
    (path) => writeFileSync(path, "[runs_as]\namy\n\n[run_as\n[mangles]\n"),
    'POLICY:4: the "]" is missing: expected a section header such as [runs_as], found "[run_as"',
  ],
])("a policy file that is %s is refused, with exit code 1 and the reason", async (_, spoil, reason) => {
  const output = await tryWith(spoil);
  expect(output.split("\n")[0]).toBe(`1 dmhost supervisor: ${reason.replace("UID", String(alice.uid))}`);
});

test.each([
  ["/etc/daemon-manager.conf", ["daemon-manager.conf"]],
  ["/etc/daemon-manager.conf even if the other exists", ["daemon-manager.conf", "daemon-manager/daemon-manager.conf"]],
  ["/etc/daemon-manager/daemon-manager.conf if only that exists", ["daemon-manager/daemon-manager.conf"]],
])("a supervisor without --config uses %s", async (_, [used = "", ...others]) => {
  refused += 1;
  const etc = join(stage.directory, `etc${refused}`);
  // A copy of /etc that only this supervisor sees.
  await succeed("cp", "-a", "/etc", etc);
  await succeed("rm", "-rf", join(etc, "daemon-manager"), join(etc, "daemon-manager.conf"));
  mkdirSync(join(etc, "daemon-manager"));
  const own = stage.supervisor(`own${refused}`, [], {
    withoutConfig: true,
    through: ["unshare", "--mount", "sh", "-c", `mount --bind ${etc} /etc && exec "$@"`, "sh"],
  });
  writeFileSync(join(etc, used), `${readFileSync(own.config, "utf8")}[runs_as]\n${alice.name}\n`);
  for (const other of others) writeFileSync(join(etc, other), `[runs_as]\n${bob.name}\n`);
  await own.start();
  expect(own.log().find(({ msg }) => msg === "ready")).toMatchObject({ owners: ["root", alice.name] });
  await own.end("SIGTERM");
});

test("a supervisor without --config and without a policy exits with 1 and names the first path", async () => {
  refused += 1;
  const etc = join(stage.directory, `etc${refused}`);
  await succeed("cp", "-a", "/etc", etc);
  await succeed("rm", "-rf", join(etc, "daemon-manager"), join(etc, "daemon-manager.conf"));
  const own = stage.supervisor(`own${refused}`, [], {
    withoutConfig: true,
    through: ["unshare", "--mount", "sh", "-c", `mount --bind ${etc} /etc && exec "$@"`, "sh"],
  });
  const [code] = (await once(own.spawn(), "exit")) as [number];
  expect([code, own.text()]).toEqual([
    1,
    expect.stringContaining("/etc/daemon-manager.conf: the policy file cannot be opened: ENOENT"),
  ]);
});

test("a supervisor with a bad policy file reports every error in it", async () => {
  const output = await tryWith((path) => writeFileSync(path, "amy\n[mangles]\n[settings]\ncolour = red\n"));
  expect(output.match(/POLICY:\d+:/g)).toEqual(["POLICY:1:", "POLICY:2:", "POLICY:4:"]);
});

test("an unknown account in the policy is reported with its line, and the other lines are in force", async () => {
  const line = readFileSync(supervisor.config, "utf8").split("\n").indexOf("dmt-nobody-at-all") + 1;
  const problems = supervisor.log().flatMap(({ problem }) => problem ?? []);
  expect(problems).toEqual([expect.stringMatching(new RegExp(`:${line}: there is no user "dmt-nobody-at-all"`))]);
  await supervisor.reaches(`${alice.name}/one`, "running");
});

test("SIGHUP puts a new policy in force and stops only the daemons that it forbids", async () => {
  const { pid } = await supervisor.reaches(`${alice.name}/one`, "running");
  const evicted = await supervisor.reaches(`${bob.name}/one`, "running");
  stage.writePolicy(supervisor, ["[runs_as]", alice.name]);
  supervisor.signal("SIGHUP");
  const forbidden = await until("forbidden", () =>
    supervisor.log().find(({ daemon, msg }) => daemon === `${bob.name}/one` && msg === "forbidden"),
  );
  expect(forbidden.reason).toContain(`the policy does not let ${bob.name} run daemons`);
  expect(isRunning(evicted.pid)).toBe(false);
  expect((await supervisor.status(`${alice.name}/one`)).pid).toBe(pid);

  stage.writePolicy(supervisor, ["[runs_as]", alice.name, bob.name]);
  expect((await supervisor.rescan()).problems).toEqual([]);
  await supervisor.reaches(`${bob.name}/one`, "running", evicted.pid);
});

test("SIGHUP and rescan refuse a malformed policy, and the former policy stays in force", async () => {
  const { pid } = await supervisor.reaches(`${bob.name}/one`, "running");
  writeFileSync(supervisor.config, "[runs_as\n");
  supervisor.signal("SIGHUP");
  await until("a refusal", () =>
    supervisor.log().find(({ msg }) => msg === "the policy file has errors; the policy in force stays"),
  );
  expect(await supervisor.status(`${bob.name}/one`)).toMatchObject({ state: "running", pid });
  const { status, body } = await supervisor.ask("POST", "/v1/rescan");
  expect([status, JSON.stringify(body)]).toEqual([422, expect.stringContaining(':1: the \\"]\\" is missing')]);
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, bob.name]);
  await supervisor.rescan();
});
