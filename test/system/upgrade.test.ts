/** `./dmhost up` with a running web server outside Docker: the functions of host/ with a real s6. */
import { appendFileSync, cpSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { freePort } from "./nginx.ts";
import { CHECKOUT, succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
let alice: Account;
let checkout: string;
let port: number;

/** Loads the functions of host/; a command is appended. The programs are stubs. */
const SCRIPT = `set -eu
checkout=$1 own=$2 http_listen=127.0.0.1:$3
for part in progress service-tree web-server appliance; do . "$checkout/host/$part.sh"; done
tree=$own/services tree_scripts=$own/scripts tree_logs=$own/logs web=$own/nginx site_logs=$own/site-logs programs=$own/bin
web_user= supervisor_flags= web_become="exec "
install_programs() { printf '#!/bin/sh\\n[ "$2" = --end ] || exec sleep 1000\\n' | write_if_changed "$programs/node" 755; }
link_tools() { :; }
`;
const ask = (what: string): Promise<string> =>
  succeed(
    ...alice.become,
    "env",
    `HOME=${alice.home}`,
    "sh",
    "-c",
    `${SCRIPT}${what}`,
    "up",
    checkout,
    alice.home,
    `${port}`,
  );
const up = (): Promise<string> => ask('run_services "$own/no.sock" "$own"');
const master = (): Promise<number> =>
  until("nginx to run", async () => Number(await ask('s6-svstat -o pid "$tree/nginx"')) || undefined);

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  port = await freePort();
  checkout = `${stage.directory}/checkout`;
  for (const part of ["host", "nginx"]) cpSync(`${CHECKOUT}/${part}`, `${checkout}/${part}`, { recursive: true });
  alice.makeDirectory("bin");
  await up();
});
afterAll(async () => {
  await ask("stop_tree");
  await stage.remove();
});

test("dmhost up restarts nginx for a new nginx/web-server, reloads it for new configuration, and keeps it for a new site installer", async () => {
  const first = await master();
  expect(await up()).not.toMatch(/nginx's/);
  appendFileSync(`${checkout}/nginx/nginx.conf`, "# another\n");
  expect(await up()).toContain("nginx's configuration changed: reloading it");
  expect(await master()).toBe(first);
  appendFileSync(`${checkout}/nginx/site-installer`, "# another\n");
  const helpers = await up();
  expect(helpers).toContain("the web server's services for sites changed: restarting them");
  expect(helpers).not.toMatch(/nginx's/);
  expect(await master()).toBe(first);
  appendFileSync(`${checkout}/nginx/web-server`, "# another\n");
  expect(await up()).toContain("nginx's service changed: restarting it");
  expect(await master()).not.toBe(first);
});
