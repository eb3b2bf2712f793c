/** The services that run directly on the machine, in a scan directory like that of native mode. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CHECKOUT, run } from "./program.ts";

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
