/** Starts and ends of Nginx, the site installer, site-logs and the supervisor in any order: a real Nginx, daemons of real accounts. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { allProcesses, argumentsOf, childrenOf, isRunning, kill, nameOf } from "./proc.ts";
import { CHECKOUT, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { type Service, WebServer } from "./web-server.ts";

let stage: Stage;
let mallory: Account;
let bob: Account;
let worker: Account;
let supervisor: Supervisor;
let web: WebServer;
const strangers: ChildProcess[] = [];

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  [mallory, bob] = [await stage.account("mallory"), await stage.account("bob")];
  worker = await stage.account("www", "web");
  web = await WebServer.make(stage.directory, worker);
  const hosts = ["[hosts]", `${mallory.name}: *.greenfelt.net`, `${bob.name}: *.example.org`];
  const policy = [`nginx-group = ${nameFor("web")}`, "[runs_as]", mallory.name, bob.name, ...hosts];
  supervisor = stage.supervisor("main", policy, { flags: web.flags });
  for (const account of [mallory, bob]) {
    chmodSync(account.home, 0o711);
    account.write("www/hello.txt", `${account.name}\n`);
    chmodSync(`${account.home}/www`, 0o755);
  }
  site(bob, "calm", "calm.example.org");
  for (const name of ["x", "y", "z"]) site(mallory, name, `${name}.greenfelt.net`);
  await supervisor.start();
  await web.start();
  await allShown();
}, 120_000);
afterAll(async () => {
  for (const { pid } of strangers) if (pid !== undefined) kill(pid);
  await web?.stop();
  await stage.remove();
});

/** A site of files alone, whose daemon does not run. */
const site = (owner: Account, name: string, host: string): string =>
  owner.writeConf(
    name,
    "start = exec sleep 1000",
    "autostart = no",
    "app = static",
    "docroot = ~/www",
    `host = ${host}`,
  );
const stateOf = async (owner: Account, name: string) =>
  (await supervisor.status(`${owner.name}/${name}`)).hosts[0] ?? { state: "unknown", reason: "" };
const body = async (host: string): Promise<string> =>
  web.visit(host, "/hello.txt").then(
    (visit) => visit.body,
    () => "",
  );
const shows = (host: string, owner: Account) =>
  until(`${host} served`, async () => (await body(host)) === `${owner.name}\n`);
const allShown = async (): Promise<void> => {
  await shows("calm.example.org", bob);
  for (const name of ["x", "y", "z"]) await shows(`${name}.greenfelt.net`, mallory);
};
let published = 0;
/** Publishes a host that nobody has had. */
const publishesAnother = async (): Promise<void> => {
  published += 1;
  site(bob, "new", `n${published}.example.org`);
  await supervisor.rescan();
  await shows(`n${published}.example.org`, bob);
};
/** What Nginx cannot open as a log. */
const blocked = (name: string): string => `${web.logs}/${mallory.name}/${name}.greenfelt.net.access.log`;
const block = (...names: string[]): void => {
  for (const name of names) {
    rmSync(blocked(name), { force: true });
    mkdirSync(blocked(name));
  }
};
const unblock = (...names: string[]): void => {
  for (const name of names) rmSync(blocked(name), { recursive: true });
};
/** Replaces the vhosts that Nginx has accepted, as a restart finds them. */
const replaceAccepted = (change: (text: string) => string): void => {
  const path = `${web.directory}/accepted/sites.conf`;
  writeFileSync(path, change(readFileSync(path, "utf8")));
};
/** Kills the supervisor and stops the web server. */
const stopBoth = async (): Promise<void> => {
  await supervisor.end("SIGKILL");
  await web.stop();
};
/** Lines that the web server's services write while this happens; Nginx's have a time and a pid. */
const textOf = async (work: () => Promise<void>): Promise<string> => {
  const before = new Set(web.text().split("\n"));
  await work();
  const lines = web.text().split("\n");
  return lines.filter((line) => !before.has(line)).join("\n");
};
/** Pid of a service, once it runs. */
const pidOf = (service: Service, former = 0): Promise<number> =>
  until(`another ${service}`, async () => {
    const pid = await web.pidOf(service).catch(() => 0);
    return pid !== 0 && pid !== former && pid;
  });
const isConnected = (pid: number): boolean => argumentsOf(pid).at(-1) === "connected";

test("Nginx starts without one refused site while the supervisor is away, and the next supervisor says why", async () => {
  await stopBoth();
  block("x");
  const text = await textOf(() => web.start());
  await shows("calm.example.org", bob);
  for (const name of ["y", "z"]) await shows(`${name}.greenfelt.net`, mallory);
  expect(await body("x.greenfelt.net")).not.toBe(`${mallory.name}\n`);
  expect(text).toMatch(new RegExp(`sites: ${mallory.name}/x is left out: .*x\\.greenfelt\\.net.*Is a directory`));
  expect(text).not.toContain("set aside");
  await supervisor.start();
  const { reason } = await until("the refused site", async () => {
    const standing = await stateOf(mallory, "x");
    return standing.state === "refused" && standing;
  });
  expect(reason).toMatch(/^host x\.greenfelt\.net: the web server refuses this site: .*Is a directory/);
  expect((await stateOf(mallory, "y")).state).toBe("published");
});

test("a supervisor that stays reports the site that a restarted Nginx has left out", async () => {
  unblock("x");
  site(mallory, "x", "x2.greenfelt.net");
  await supervisor.rescan();
  await shows("x2.greenfelt.net", mallory);
  site(mallory, "x", "x.greenfelt.net");
  await supervisor.rescan();
  await shows("x.greenfelt.net", mallory);
  block("x");
  kill(web.pid);
  await until("the refused site", async () => (await stateOf(mallory, "x")).state === "refused");
  await shows("calm.example.org", bob);
  await shows("y.greenfelt.net", mallory);
});

test("Nginx starts without any site of an owner who has two refused ones, and with those of others", async () => {
  // With x.
  block("y");
  await stopBoth();
  writeFileSync(
    `${web.directory}/accepted/sites.conf`,
    readFileSync(`${web.directory}/accepted/sites.conf.refused`, "utf8"),
  );
  const text = await textOf(() => web.start());
  await shows("calm.example.org", bob);
  for (const name of ["x", "y", "z"]) expect(await body(`${name}.greenfelt.net`)).not.toBe(`${mallory.name}\n`);
  expect(text).toContain(`sites: ${mallory.name}/x is left out: `);
  expect(text).toContain(`sites: ${mallory.name} is left out: `);
  unblock("x", "y");
  await supervisor.start();
  await allShown();
});

test("vhosts that Nginx refuses for no site in particular are set aside when it starts, and replaced", async () => {
  await stopBoth();
  replaceAccepted((text) => text.replace("\n", "\nbogus;\n"));
  const text = await textOf(() => web.start());
  expect(text).toContain("sites: all accepted sites are set aside: ");
  expect(await body("calm.example.org")).not.toBe(`${bob.name}\n`);
  await supervisor.start();
  await allShown();
});

test("the accepted vhosts stay while Nginx refuses root's own, and are served once those are mended", async () => {
  const vhost = `${web.directory}/vhosts/own.conf`;
  await stopBoth();
  const accepted = readFileSync(`${web.directory}/accepted/sites.conf`, "utf8");
  writeFileSync(vhost, "include missing.conf;\n");
  const text = await textOf(async () => {
    const started = web.start();
    await until("its complaint", () => web.text().includes("missing.conf"));
    expect(readFileSync(`${web.directory}/accepted/sites.conf`, "utf8")).toBe(accepted);
    rmSync(vhost);
    await started;
  });
  expect(text).not.toContain("set aside");
  await allShown();
  await supervisor.start();
});

test("a start of Nginx that was killed among its trials loses no site", async () => {
  await stopBoth();
  renameSync(`${web.directory}/accepted/sites.conf`, `${web.directory}/accepted/sites.conf.tried`);
  await web.start();
  await allShown();
  await supervisor.start();
});

test("an Nginx whose s6-supervise was killed is ended before the next one starts", async () => {
  const former = [web.pid, ...childrenOf(web.pid)];
  kill(await web.supervisorOf("nginx"));
  await pidOf("nginx", former[0]);
  await until("the end of the former", () => former.every((pid) => !isRunning(pid)));
  await allShown();
  await publishesAnother();
});

test("workers whose master and s6-supervise were killed are ended before the next Nginx starts", async () => {
  const workers = childrenOf(web.pid);
  kill(await web.supervisorOf("nginx"));
  kill(web.pid);
  await until("the end of the former", () => workers.every((pid) => !isRunning(pid)));
  await allShown();
  await publishesAnother();
});

test("a process that has the pid of a former Nginx is left alone", async () => {
  const program = `${stage.directory}/elsewhere/nginx`;
  mkdirSync(`${stage.directory}/elsewhere`);
  cpSync("/bin/sleep", program);
  const stranger = spawn(worker.become[0] ?? "", [...worker.become.slice(1), program, "1000"], { cwd: "/" });
  strangers.push(stranger);
  const pid = stranger.pid ?? 0;
  await until("a process named nginx", () => nameOf(pid) === "nginx");
  await web.stop();
  writeFileSync(`${web.directory}/temp/nginx.pid`, `${pid}\n`);
  await web.start();
  await allShown();
  await publishesAnother();
  expect(isRunning(pid)).toBe(true);
});

test("a site installer whose s6-supervise was killed ends, and the next one publishes", async () => {
  const former = await until("an installer that is connected", async () => {
    const pid = await pidOf("site-installer");
    return isConnected(pid) && pid;
  });
  kill(await web.supervisorOf("site-installer"));
  await until("its end", () => !isRunning(former));
  await publishesAnother();
});

test("two site installers exclude each other, and each takes over from the other", async () => {
  const first = await until("an installer that is connected", async () => {
    const pid = await pidOf("site-installer");
    return isConnected(pid) && pid;
  });
  const argv = [...worker.become, `${web.directory}/site-installer`, web.directory];
  const second = spawn(argv[0] ?? "", argv.slice(1), { cwd: "/", stdio: "ignore" });
  strangers.push(second);
  const pid = second.pid ?? 0;
  await until("one that waits for the lock", () => nameOf(pid) === "s6-setlock");
  await publishesAnother();
  expect([await pidOf("site-installer"), nameOf(pid)]).toEqual([first, "s6-setlock"]);
  kill(first);
  await until("the second connected", () => isConnected(pid));
  await publishesAnother();
  const ended = once(second, "exit");
  kill(pid);
  await ended;
  await publishesAnother();
});

test("site-logs ends when its s6-supervise is killed, and one of them runs", async () => {
  const former = await pidOf("site-logs");
  kill(await web.supervisorOf("site-logs"));
  await until("its end", () => !isRunning(former));
  const next = await pidOf("site-logs", former);
  await until("one", () => {
    const all = allProcesses().filter((pid) =>
      argumentsOf(pid).join(" ").includes(`site-logs keep ${web.directory} tied`),
    );
    return all.length === 1 && all[0] === next;
  });
});

test("the site installer waits without a new process while the supervisor is away, and takes requests from the next one", async () => {
  for (const left of ["both", "none", "a file that nobody wrote"] as const) {
    await supervisor.end("SIGKILL");
    const waiting = await until("an installer that waits", async () => {
      const pid = await pidOf("site-installer");
      return childrenOf(pid).some((child) => argumentsOf(child).at(-1) === "offered/listening") && pid;
    });
    if (left !== "both") for (const file of ["installer.sock", "listening"]) rmSync(`${web.directory}/offered/${file}`);
    if (left === "a file that nobody wrote") writeFileSync(`${web.directory}/offered/listening`, "listening\n");
    await pause(2500);
    expect([left, await pidOf("site-installer")]).toEqual([left, waiting]);
    await supervisor.start();
    await until("it connected", () => isConnected(waiting));
    await publishesAnother();
  }
});

const VICTIMS = {
  supervisor: () => supervisor.end("SIGKILL"),
  nginx: async () => kill(await pidOf("nginx")),
  "site installer": async () => kill(await pidOf("site-installer")),
  "s6-supervise of nginx": async () => kill(await web.supervisorOf("nginx")),
  "s6-supervise of the site installer": async () => kill(await web.supervisorOf("site-installer")),
} as const;
type Victim = keyof typeof VICTIMS;
const names = Object.keys(VICTIMS) as Victim[];
const pairs = names.flatMap((first) =>
  names.filter((each) => each !== first).map((second) => [first, second] as const),
);

test.each(pairs)("sites are published after kill -9 of the %s and then of the %s", async (first, second) => {
  await VICTIMS[first]();
  await VICTIMS[second]();
  if (first === "supervisor" || second === "supervisor") await supervisor.start();
  await allShown();
  await publishesAnother();
});

/** An nginx whose worker has its name only after HUP has come, and which reloads a second later. */
const SLOW_NGINX = `
my $directory = shift;
sub rename_to { $0 = shift; open my $comm, ">", "/proc/self/comm"; print $comm "nginx"; close $comm }
sub worker {
  my ($named) = @_;
  my $pid = fork;
  return $pid if $pid;
  $SIG{HUP} = "IGNORE";
  $SIG{USR1} = sub { rename_to("nginx: worker process") };
  rename_to("nginx: worker process") if $named;
  sleep 1000 while 1;
}
rename_to("nginx: master process nginx -e stderr -p $directory -c nginx.conf");
my $former = worker(0);
$SIG{HUP} = sub {
  kill USR1 => $former;
  select undef, undef, undef, 1;
  worker(1);
  kill KILL => $former;
  waitpid $former, 0;
  open my $file, ">", "$directory/reloaded";
};
open my $file, ">", "$directory/temp/nginx.pid";
print $file "$$\n";
close $file;
sleep 1000 while 1;
`;

test("sites are in force for the site installer only once a worker from after the reload accepts clients", async () => {
  const directory = `${stage.directory}/slow-nginx`;
  for (const name of ["offered", "accepted", "temp", "bin"]) mkdirSync(`${directory}/${name}`, { recursive: true });
  writeFileSync(`${directory}/offered/sites.conf`, "# generation 1\n");
  // Accepts everything.
  writeFileSync(`${directory}/bin/nginx`, "#!/bin/sh\n", { mode: 0o755 });
  const slow = spawn("perl", ["-e", SLOW_NGINX, directory], { stdio: "ignore" });
  strangers.push(slow);
  await until("its pid", () => existsSync(`${directory}/temp/nginx.pid`) && childrenOf(slow.pid ?? 0).length === 1);
  const installer = spawn(`${CHECKOUT}/nginx/site-installer`, [directory, "connected"], {
    env: { PATH: `${directory}/bin:/usr/sbin:/usr/bin:/sbin:/bin` },
    stdio: ["ignore", "ignore", "inherit", "ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  strangers.push(installer);
  const streams = Array.from<Readable | Writable | null | undefined>(installer.stdio);
  const [requests, answers] = [streams[6] as Writable, streams[7] as Readable];
  let text = "";
  const line = (count: number) => until(`line ${count}`, () => text.split("\n").length > count);
  answers.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await line(1);
  requests.write("install 1\n");
  await line(2);
  const isReloaded = existsSync(`${directory}/reloaded`);
  for (const pid of childrenOf(slow.pid ?? 0)) kill(pid);
  expect([text, isReloaded]).toEqual(["ready\naccepted\n", true]);
});
