/** Common mistakes, and the message of dmctl for each: what failed, on what, why, and what to do, in at most three lines. */
import { once } from "node:events";
import { chmodSync, chownSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { type Ended, run } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let amy: Account;
let bob: Account;
let david: Account;
let eve: Account;
let supervisor: Supervisor;
let listener: Server;

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  amy = await stage.account("amy");
  bob = await stage.account("bob");
  david = await stage.account("david");
  eve = await stage.account("eve");
  const manages = ["[manages]", `${david.name}: ${amy.name}, ${bob.name}`];
  supervisor = stage.supervisor("main", ["[runs_as]", amy.name, bob.name, ...manages]);
  for (const account of [amy, bob]) account.writeConf("wordpress", "start = exec sleep 1000");
  await supervisor.start();
  listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
});
afterAll(async () => {
  listener.close();
  await stage.remove();
});

const dmctl = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words]);

/** Lines of the error message, at most three; account names appear without the prefix of this test run. */
const messageOf = ({ code, stdout, stderr }: Ended, exit: number): string[] => {
  const lines = stderr.trimEnd().split("\n");
  expect([code, stdout, lines.length <= 3]).toEqual([exit, "", true]);
  return [amy, bob, david, eve].reduce(
    (texts, { name }) => texts.map((text) => text.replaceAll(name, name.replace(/^dmt-\d+-/, ""))),
    lines.map((line) => line.replaceAll(stage.directory, "")),
  );
};

/** Writes a conf file and starts its daemon; without autostart, so that this is the first start. */
/** A program that fails has ready=fd:3: without it, one that fails later than 0.1 s after its start counts as started. */
const start = async (name: string, ...lines: string[]): Promise<Ended> => {
  amy.writeConf(name, ...lines, "autostart = no");
  await dmctl(amy, "rescan");
  return dmctl(amy, "start", name);
};
const conf = (name: string): string => `/home/amy/.daemon-manager/daemons/${name}.conf`;

test("dmctl tells an account that is not in the policy to ask root for [runs_as]", async () => {
  const ended = await eve.run([toolbox.node, toolbox.dmctl, "status"], { env: { DMCTL_SOCKET: supervisor.socket } });
  expect(messageOf(ended, 3)).toEqual([
    "dmctl: eve is not in the policy, so may neither run nor manage daemons here",
    "ask root to add you to [runs_as] in daemon-manager.conf and to run `dmctl rescan`",
  ]);
});

test("dmctl start reports a user= that the policy does not grant", async () => {
  expect(messageOf(await start("granted", "start = id", `user = ${bob.name}`), 1)).toEqual([
    'dmctl: cannot start "amy/granted": it may not run as "bob": no line of [runs_as] lets amy run daemons as bob',
    "Correct user= with `dmctl edit amy/granted`, or ask root to grant it in [runs_as] and to run `dmctl rescan`.",
  ]);
});

test("dmctl start reports a user= that does not exist", async () => {
  expect(messageOf(await start("ghost", "start = id", "user = ghost"), 1)).toEqual([
    'dmctl: cannot start "amy/ghost": it may not run as "ghost": there is no account "ghost" on this machine',
    "Correct user= with `dmctl edit amy/ghost`, or ask root to grant it in [runs_as] and to run `dmctl rescan`.",
  ]);
});

test("dmctl start reports an owner who is no longer in the policy", async () => {
  const policy = ["[manages]", `${david.name}: ${amy.name}, ${bob.name}`];
  stage.writePolicy(supervisor, ["[runs_as]", amy.name, ...policy]);
  await supervisor.rescan();
  const ended = await run([toolbox.node, toolbox.dmctl, "start", `${bob.name}/wordpress`], {
    env: { PATH: "/usr/bin:/bin", DMCTL_SOCKET: supervisor.socket },
  });
  stage.writePolicy(supervisor, ["[runs_as]", amy.name, bob.name, ...policy]);
  await supervisor.rescan();
  expect(messageOf(ended, 1)).toEqual([
    'dmctl: cannot start "bob/wordpress": the policy does not let bob run daemons; root grants it in [runs_as]',
    "Ask root to put bob on the left of [runs_as] and to run `dmctl rescan`.",
  ]);
});

test("dmctl start reports a dir= that does not exist", async () => {
  expect(messageOf(await start("lost", "dir = ~/nowhere", "start = id"), 1)).toEqual([
    'dmctl: cannot start "amy/lost": entering /home/amy/nowhere: no such directory, or no permission to reach it',
    "Make that directory and let amy enter it, or correct dir= with `dmctl edit amy/lost`.",
  ]);
});

test("dmctl start reports a program that does not exist, with the shell's message", async () => {
  expect(messageOf(await start("absent", "start = exec php-cgj -q", "output = log", "ready = fd:3"), 1)).toEqual([
    'dmctl: cannot start "amy/absent": exited with code 127 (the shell cannot find a program that `start` names)',
    expect.stringMatching(/^it wrote: .*php-cgj: not found$/),
    "Install that program or write its whole path, or raise limit-as= where that is set: `dmctl edit amy/absent`.",
  ]);
});

test("dmctl start reports a program that may not be executed", async () => {
  amy.write("app", "#!/bin/sh\n", 0o644);
  expect(messageOf(await start("plain", "dir = ~/", "start = exec ./app", "ready = fd:3"), 1)).toEqual([
    'dmctl: cannot start "amy/plain": exited with code 126 (the shell cannot execute a program that `start` names)',
    "Let amy execute that program (chmod +x), or correct start= with `dmctl edit amy/plain`.",
  ]);
});

test("dmctl start reports the program's own message when its port is in use", async () => {
  const { port } = listener.address() as { port: number };
  const bind = `socket(my $s, PF_INET, SOCK_STREAM, 0); bind($s, pack_sockaddr_in(${port}, INADDR_LOOPBACK))`;
  const program = `${bind} or die "cannot listen at port ${port}: $!\\n"; sleep`;
  const ended = await start("taken", `start = exec perl -MSocket -e '${program}'`, "output = log", "ready = fd:3");
  expect(messageOf(ended, 1)).toEqual([
    'dmctl: cannot start "amy/taken": exited with code 98',
    `it wrote: cannot listen at port ${port}: Address already in use`,
    "Correct the cause and start it again; `dmctl amy/taken log` shows its last lines.",
  ]);
});

test("dmctl start suggests output=log when a program without a log fails", async () => {
  expect(messageOf(await start("mute", "start = exit 3", "ready = fd:3"), 1)).toEqual([
    'dmctl: cannot start "amy/mute": exited with code 3',
    "Write output=log with `dmctl edit amy/mute`; then `dmctl amy/mute log` shows its output.",
  ]);
});

test("dmctl start reports a log directory that the owner may not write to", async () => {
  amy.makeDirectory(".daemon-manager/logs/sealed");
  chmodSync(`${amy.home}/.daemon-manager/logs/sealed`, 0o550);
  expect(messageOf(await start("sealed", "start = exec sleep 1000", "output = log"), 1)).toEqual([
    'dmctl: cannot start "amy/sealed": opening its log: amy may not create files in /home/amy/.daemon-manager/logs/sealed (EACCES)',
    "Let the owner write to its log's directory, or write output=discard.",
  ]);
});

test.each([
  [
    "a link to a directory that its owner may not write to",
    "/etc",
    "is a link to /etc, in which amy may not create files (EACCES); put a directory there",
  ],
  [
    "a link that leads nowhere",
    "/nonexistent",
    "is a link to /nonexistent, in which amy may not create files (ENOENT); put a directory there",
  ],
  ["a file", undefined, "is not a directory; replace it by one"],
])("dmctl start reports a log directory that is %s", async (_, target, reason) => {
  const directory = ".daemon-manager/logs/astray";
  if (target === undefined) amy.write(directory, "");
  else await amy.run(["ln", "-s", target, `${amy.makeDirectory(".daemon-manager/logs")}/astray`]);
  const ended = await start("astray", "start = exec sleep 1000", "output = log");
  await amy.run(["rm", `${amy.home}/${directory}`]);
  expect(messageOf(ended, 1)).toEqual([
    `dmctl: cannot start "amy/astray": opening its log: /home/amy/${directory} ${reason}`,
    "Let the owner write to its log's directory, or write output=discard.",
  ]);
});

test("dmctl start reports a conf file that belongs to another account", async () => {
  chownSync(amy.writeConf("foreign", "start = id", "autostart = no"), bob.uid, bob.gid);
  await dmctl(amy, "rescan");
  expect(messageOf(await dmctl(amy, "start", "foreign"), 1)).toEqual([
    `dmctl: cannot start "amy/foreign": ${conf("foreign")}: it belongs to uid ${bob.uid}, not to amy; chown it`,
    "Correct the file; then `dmctl start amy/foreign` reads it again.",
  ]);
});

test("dmctl start reports a conf file with a missing or empty start line", async () => {
  expect(messageOf(await start("idle", "dir = /"), 1)).toEqual([
    `dmctl: cannot start "amy/idle": ${conf("idle")}: there is no "start" line: expected one like "start = exec COMMAND"`,
    "Correct the file; then `dmctl start amy/idle` reads it again.",
  ]);
  expect(messageOf(await start("empty", "start ="), 1)[0]).toBe(
    `dmctl: cannot start "amy/empty": ${conf("empty")}:1: start: expected a command: one line of shell, found nothing`,
  );
});

test("dmctl start warns about a misspelt key and suggests the right one", async () => {
  const { code, stdout, stderr } = await start("typo", "start = exec sleep 1000", "ouptut = log");
  expect([code, stdout.split(" ")[1]]).toEqual([0, "running,"]);
  expect(stderr).toBe(
    `warning: ${amy.home}/.daemon-manager/daemons/typo.conf:2: unknown key "ouptut" is ignored: did you mean "output"?\n`,
  );
});

test("dmctl suggests a name for a misspelt one, but only of a daemon that the caller may control", async () => {
  bob.writeConf("wordpres", "start = exec sleep 1000");
  await supervisor.rescan();
  expect(messageOf(await dmctl(amy, "restart", "wordpres"), 3)).toEqual([
    'dmctl: there is no daemon "wordpres" that amy may control: did you mean "wordpress"?',
    "`dmctl list` shows your daemons; `dmctl rescan` finds new files",
  ]);
  const full = messageOf(await dmctl(amy, "restart", `${amy.name}/wordpress1`), 3);
  expect(full[0]).toBe(
    'dmctl: there is no daemon "amy/wordpress1" that amy may control: did you mean "amy/wordpress"?',
  );
  const foreign = messageOf(await dmctl(amy, "restart", `${bob.name}/wordpres`), 3);
  expect(foreign[0]).toBe('dmctl: there is no daemon "bob/wordpres" that amy may control');
});

test("dmctl lists the full names when several daemons have the same name", async () => {
  expect(messageOf(await dmctl(david, "stop", "wordpress"), 3)).toEqual([
    'dmctl: 2 daemons have the name "wordpress"; use one of these full names:',
    "  amy/wordpress",
    "  bob/wordpress",
  ]);
});

test("dmctl kill refuses a misspelt signal and suggests the right one", async () => {
  expect(messageOf(await dmctl(amy, "wordpress", "kill", "-TREM"), 2)).toEqual([
    'dmctl: "-TREM" is no signal that can be sent; did you mean "-TERM"?',
    '"dmctl help" shows the commands',
  ]);
});

test("dmctl reports a missing supervisor with exit code 4, and a tenant gets no command to start one", async () => {
  const env = { DMCTL_SOCKET: "/nonexistent/command.sock" };
  expect(messageOf(await amy.run([toolbox.node, toolbox.dmctl, "status"], { env }), 4)).toEqual([
    "dmctl: no supervisor: there is no socket at /nonexistent/command.sock",
    "ask the administrator of this machine to start it, or unset DMCTL_SOCKET",
  ]);
});

test("dmctl rescan and start report a home that its group may write to", async () => {
  chmodSync(amy.home, 0o770);
  expect(messageOf(await dmctl(amy, "rescan"), 1)).toEqual([
    "dmctl: /home/amy: accounts other than amy may write to it (mode 0770); run: chmod go-w /home/amy",
  ]);
  expect(messageOf(await dmctl(amy, "start", "mute"), 1)).toEqual([
    `dmctl: cannot start "amy/mute": ${conf("mute")}: /home/amy: accounts other than amy may write to it (mode 0770); run: chmod go-w /home/amy`,
    "Correct the file; then `dmctl start amy/mute` reads it again.",
  ]);
  chmodSync(amy.home, 0o750);
});

test("dmctl rescan reports a conf directory that belongs to another account", async () => {
  const directory = `${amy.home}/.daemon-manager/daemons`;
  chmodSync(directory, 0o755);
  chownSync(directory, bob.uid, bob.gid);
  expect(messageOf(await dmctl(amy, "rescan"), 1)).toEqual([
    `dmctl: /home/amy/.daemon-manager/daemons: belongs to uid ${bob.uid}, not to amy; chown it`,
  ]);
  chownSync(directory, amy.uid, amy.gid);
});
