/** The services that run directly on the machine, in a scan directory like that of native mode. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { argumentsOf, isRunning, processesOf } from "./proc.ts";
import { CHECKOUT, run } from "./program.ts";
import { Stage } from "./stage.ts";
import { addSupervisor, fillToolbox } from "./toolbox.ts";

const directory = mkdtempSync("/tmp/dmt-tree-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Starts and stops two services whose scan directory is on a file system without execution. $1 the checkout, $2 the directory. */
const SCRIPT = `
set -eu
. "$1/host/progress.sh"
. "$1/host/service-tree.sh"
cd "$2"
mkdir run logs
mount -t tmpfs -o noexec tmpfs run
services="supervisor nginx"
tree=$2/run/services tree_scripts=$2/scripts tree_logs=$2/logs
for service in $services; do
  write_service $service <<RUN
#!/bin/sh
echo $service is up
exec sleep 1000
RUN
done
start_tree
for service in $services; do
  tries=0
  until grep -qs "$service is up" "$tree_logs/$service/current"; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || { cat "$tree_logs/svscan.log" >&2; break; }
    sleep 0.1
  done
done
stop_tree
`;

test("services run where their scan directory is mounted noexec", async () => {
  const command = ["unshare", "-m", "env", `HOME=${directory}`, "sh", "-c", SCRIPT, "sh", CHECKOUT, directory];
  const { code, stderr } = await run(command);
  expect([code, stderr]).toEqual([0, ""]);
  for (const service of ["supervisor", "nginx"]) {
    expect(readFileSync(join(directory, "logs", service, "current"), "utf8")).toBe(`${service} is up\n`);
  }
});

/** Stops the services of a tree with a supervisor alone; $1 the checkout, $2 its directory, $3 its programs, $4 its flags, $5 before that. */
const DOWN = `
set -eu
. "$1/host/progress.sh"
. "$1/host/service-tree.sh"
. "$1/host/appliance.sh"
cd "$2"
mkdir -p tree logs
services=supervisor tree=$2/tree tree_scripts=$2/scripts tree_logs=$2/logs programs=$3 supervisor_flags=$4
write_supervisor
echo 3 >tree/supervisor/notification-fd
start_tree
eval "$5"
stop_tree
`;

test.each([
  ["is being started", "true"],
  [
    "cannot start, because its policy is refused",
    'until grep -qs "nonsense" logs/supervisor/current; do sleep 0.1; done',
  ],
])("daemons and shim end with the services while the supervisor %s", async (title, before) => {
  const stage = await Stage.make();
  try {
    const alice = await stage.account("alice");
    alice.writeConf("plain", "start = exec sleep 4741", "output = log");
    const supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
    await supervisor.start();
    await supervisor.reaches(`${alice.name}/plain`, "running");
    const { shim = 0, config, runDir, fastcgiDir, stateDir } = supervisor;
    await supervisor.end("SIGKILL");
    if (title !== "is being started") writeFileSync(config, "[nonsense]\n");
    const programs = join(stage.directory, "programs");
    await fillToolbox(programs);
    const main = await addSupervisor(programs);
    writeFileSync(join(programs, "supervisor.cjs"), `process.argv[1] = "${main}"; import("${main}");`);
    const flags = `--config ${config} --run-dir ${runDir} --fastcgi-dir ${fastcgiDir} --state-dir ${stateDir}`;
    const words = ["sh", "-c", DOWN, "sh", CHECKOUT, join(stage.directory, "main"), programs, flags, before];
    const { code, stderr } = await run(["env", `HOME=${directory}`, ...words]);
    expect([code, stderr]).toEqual([0, ""]);
    expect([isRunning(shim), processesOf(alice.uid).map(argumentsOf)]).toEqual([false, []]);
    expect(supervisor.shim).toBeUndefined();
  } finally {
    await stage.remove();
  }
});
