/**
 * The service directory of AxKit2's page on daemontools, its two scripts unchanged, with Starman as the application server:
 * in root's service directories, and in a user's.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { isRunning, nameOf, numbersOf, processesOf, statusOf } from "../proc.ts";
import { run, until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { fillToolbox } from "../toolbox.ts";
import { writeService } from "./service-tree.ts";
import { layOutTools } from "./tools.ts";

const RUN = `#!/bin/sh
exec 2>&1 < /dev/null
[ -z "$USER" ] && exec envdir ./env "$0"
cd root
export HOME="$PWD"
exec softlimit -m $((MEM*1024*1024)) -c 0 -r $((MEM/4*1024*1024)) setuidgid "$USER" ./axkit
`;
const LOG_RUN = `#!/bin/sh
[ -z "$USER" ] && exec envdir ../env "$0"
exec setuidgid "$USER" multilog t ../root/log/axkit2
`;
const MEM = 256;
const APPLICATION = `use strict; use warnings;
sub {
    my ($env) = @_;
    warn "request for $env->{PATH_INFO}\\n";
    return [200, ["Content-Type" => "text/plain"], [join " ", "served by", scalar(getpwuid($>)), "in", @ENV{qw(HOME USER MEM)}]];
};
`;
const server = (port: number): string =>
  `#!/bin/sh\nexec starman --workers 1 --listen 127.0.0.1:${port} --disable-keepalive app.psgi\n`;

let stage: Stage;
let alice: Account;
let worker: Account;
let supervisor: Supervisor;
let tools: string;
let bin: string;

/** A port for a service, derived from this process's id so that parallel runs do not collide. */
const portOf = (index: number): number => 20_000 + ((process.pid * 4 + index) % 12_000);

beforeAll(async () => {
  stage = await Stage.make();
  tools = join(stage.directory, "tools");
  layOutTools(tools);
  bin = join(stage.directory, "bin");
  const toolbox = await fillToolbox(bin);
  writeFileSync(join(bin, "dmctl"), `#!/bin/sh\nexec ${toolbox.node} ${toolbox.dmctl} "$@"\n`, { mode: 0o755 });
  alice = await stage.account("alice");
  worker = await stage.account("worker");
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${worker.name}`], {
    flags: ["--tools-dir", tools],
  });
});
afterAll(() => stage.remove());

/** Writes the server's root with its log directory, and the service directory of the page. */
const writeSite = (site: string, root: Account, port: number, owner?: Account): void => {
  for (const [name, text] of [
    ["axkit", server(port)],
    ["app.psgi", APPLICATION],
  ] as const) {
    root.write(`site/${name}`, text, 0o755);
  }
  root.makeDirectory("site/log");
  writeService(
    site,
    {
      "env/MEM": `${MEM}\n`,
      "env/USER": `${root.name}\n`,
      "log/run": LOG_RUN,
      run: RUN,
      root: `-> ${root.home}/site`,
    },
    owner,
  );
};

/** Pid of the account's logger: multilog, which execs s6-log. */
const loggerOf = (account: Account): number | undefined =>
  processesOf(account.uid).find((pid) => /^(multilog|s6-log)$/.test(nameOf(pid)));

const answerOf = async (port: number): Promise<string> =>
  until(`an HTTP answer on port ${port}`, async () => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/page`)).text();
    } catch {
      return undefined;
    }
  });

/** Soft and hard limit of a process, by its name in /proc. */
const limitOf = (pid: number, name: string): string[] =>
  new RegExp(`^${name} +(\\S+) +(\\S+)`, "m").exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.slice(1) ?? [];

/** A service: its id, its directory, its port and the account that the server runs as. */
const SITES: readonly [where: string, make: () => { id: string; directory: string; port: number; account: Account }][] =
  [
    [
      "root's /service",
      () => {
        const directory = join(stage.directory, "root-service/site1");
        writeSite(directory, worker, portOf(0));
        return { id: "root/site1", directory, port: portOf(0), account: worker };
      },
    ],
    [
      "a user's ~/service",
      () => {
        const directory = join(alice.home, "service/site1");
        writeSite(directory, alice, portOf(1), alice);
        return { id: `${alice.name}/site1`, directory, port: portOf(1), account: alice };
      },
    ],
  ];

describe.each(SITES)("AxKit2's service directory in %s", (_, make) => {
  let site: ReturnType<typeof make>;
  const log = (): string => join(site.account.home, "site/log/axkit2");

  beforeAll(async () => {
    site = make();
    if (supervisor.pid === 0) await supervisor.start();
    else await supervisor.rescan();
    await supervisor.reaches(site.id, "running");
  });

  test("AxKit2's service directory runs a server that answers as its account, in its root directory", async () => {
    const { name } = site.account;
    expect(await answerOf(site.port)).toBe(`served by ${name} in ${site.directory}/root ${name} ${MEM}`);
    const { pid } = await supervisor.status(site.id);
    expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(site.account.uid));
    expect(statusOf(pid).get("NoNewPrivs")).toBe("1");
    expect(statusOf(pid).get("CapEff")).toBe("0000000000000000");
  });

  test("AxKit2's service directory sets the server's limits from env/MEM", async () => {
    const { pid } = await supervisor.status(site.id);
    const bytes = String(MEM * 1024 * 1024);
    expect(limitOf(pid, "Max address space")[0]).toBe(bytes);
    expect(limitOf(pid, "Max data size")[0]).toBe(bytes);
    expect(limitOf(pid, "Max core file size")[0]).toBe("0");
    expect(limitOf(pid, "Max resident set")[0]).toBe(String((MEM / 4) * 1024 * 1024));
  });

  test("AxKit2's service directory logs stamped lines to log/axkit2/current, which tai64nlocal shows in local time", async () => {
    await answerOf(site.port);
    const current = join(log(), "current");
    const text = await until("the server's lines in the log", () => {
      const written = existsSync(current) ? readFileSync(current, "utf8") : "";
      return /request for \/page/.test(written) && written;
    });
    for (const line of text.trim().split("\n")) expect(line).toMatch(/^@4[0-9a-f]{23} /);
    const shell = (command: string) =>
      run(["sh", "-c", command], { cwd: dirname(log()), env: { PATH: `${tools}:${bin}:/usr/bin:/bin` } });
    const readable = await shell("tai64nlocal < axkit2/current | cat");
    expect([readable.code, readable.stderr]).toEqual([0, ""]);
    expect(readable.stdout).toBe(
      (await shell(`/usr/bin/s6-tai64nlocal < ${current} | head -c ${readable.stdout.length}`)).stdout,
    );
    const today = new Date().getFullYear();
    expect(readable.stdout).toMatch(
      new RegExp(`^${today}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{9} request for /page$`, "m"),
    );
  });

  test("AxKit2's service directory starts the server again when it is killed, and its log goes on", async () => {
    const { pid } = await supervisor.status(site.id);
    const before = readFileSync(join(log(), "current"), "utf8").length;
    process.kill(pid, "SIGKILL");
    await supervisor.reaches(site.id, "running", pid);
    await answerOf(site.port);
    await until("more bytes in the log", () => readFileSync(join(log(), "current"), "utf8").length > before);
  });

  test("AxKit2's service directory starts a killed logger again without losing a line", async () => {
    const multilog = () => loggerOf(site.account);
    const former = await until("the logger", multilog);
    process.kill(former, "SIGKILL");
    await until("a new logger", () => {
      const pid = multilog();
      return pid !== undefined && pid !== former;
    });
    const seen = readdirSync(log()).flatMap((name) =>
      /^(current|@.*)$/.test(name) ? (readFileSync(join(log(), name), "utf8").match(/request for/g) ?? []) : [],
    ).length;
    await answerOf(site.port);
    await until("the new line in the log", () => {
      const files = readdirSync(log()).filter((name) => /^(current|@.*)$/.test(name));
      const found = files.flatMap((name) => readFileSync(join(log(), name), "utf8").match(/request for/g) ?? []);
      return found.length > seen;
    });
  });

  test("AxKit2's service directory leaves no process after a stop, and runs server and logger again after a start", async () => {
    const { pid } = await supervisor.status(site.id);
    expect((await supervisor.act("stop", site.id)).ok).toBe(true);
    expect(isRunning(pid)).toBe(false);
    await until("every process of the account to end", () => processesOf(site.account.uid).length === 0);
    await supervisor.up(site.id);
    await answerOf(site.port);
    await until("the logger", () => loggerOf(site.account));
  });
});

test("a user's service runs as the account that env/USER names if [runs_as] grants it", async () => {
  const directory = join(alice.home, "service/other");
  mkdirSync(join(worker.home, "other/log"), { recursive: true });
  await run(["chown", "-R", `${worker.uid}:${worker.gid}`, join(worker.home, "other")]);
  for (const home of [alice.home, worker.home]) await run(["chmod", "755", home]);
  worker.write("other/axkit", "#!/bin/sh\necho here as $(id -un) >&2; exec sleep 1000\n", 0o755);
  writeService(
    directory,
    { "env/MEM": "64", "env/USER": worker.name, "log/run": LOG_RUN, run: RUN, root: `-> ${worker.home}/other` },
    alice,
  );
  const id = `${alice.name}/other`;
  await supervisor.rescan();
  const { pid, user } = await supervisor.reaches(id, "running");
  expect(user).toBe(worker.name);
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(worker.uid));
  await until("the server's line in the log", () => {
    const current = join(worker.home, "other/log/axkit2/current");
    return existsSync(current) && readFileSync(current, "utf8").includes(`here as ${worker.name}`);
  });
});
