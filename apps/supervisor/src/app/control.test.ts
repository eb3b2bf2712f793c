import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { HOME_SOCKET, PUBLIC_SOCKET, userSocket } from "@dmhost/contract";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeEngine, fakeSurroundings, HEALTH } from "../api/engine.fake.ts";
import { createApi } from "../api/server.ts";
import type { Account } from "../core/policy-rules.ts";
import { KnownAccounts } from "../os/accounts/known-accounts.ts";
import { privileged } from "../os/kernel/privileges.ts";
import { type Control, controlSockets } from "./control.ts";
import { fakeLog } from "./log.fake.ts";

const { username, uid, gid } = userInfo();
let directory: string;
let known: string[];
let lines: string[];
let control: Control;
/** Lets it answer; called at the first request. */
/** Whether requests fail, and the callers of those that failed. */
let broken: boolean;
let callers: string[];

const self = (): Account => ({ name: username, uid, gid, home: join(directory, "home"), shell: "/bin/sh" });
const stranger = (): Account => ({ ...self(), name: "stranger", uid: 4001 });
/** An account with a link in its home, which root has none of. */
const tenant = (): Account => (privileged ? stranger() : self());
const socketOf = (name: string): string => join(directory, "run", userSocket(name));
const publicSocket = (): string => join(directory, "run", PUBLIC_SOCKET);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "control-"));
  mkdirSync(join(directory, "home"));
  chmodSync(directory, 0o755);
  chownSync(join(directory, "home"), tenant().uid, tenant().gid);
  known = [username];
  broken = false;
  callers = [];
  const { log, lines: written } = fakeLog();
  lines = written;
  const policy = { known: (name: string) => known.includes(name) };
  const users = new Map([self(), stranger()].map((account) => [account.name, account]));
  const accounts = new KnownAccounts({ users, groups: new Map() });
  const about = fakeSurroundings({
    health: () => {
      if (broken) throw new Error("broken");
      return HEALTH;
    },
    onInternalError: (_, { user }) => void callers.push(user),
  });
  const api = await createApi(new FakeEngine(), about);
  control = controlSockets(join(directory, "run"), { policy } as never, accounts, api, log);
});
afterEach(() => {
  control.close();
  rmSync(directory, { recursive: true });
});

/** Status of a request on this socket. */
const ask = (socketPath: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: "/v1/health", agent: false }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    sent.on("error", reject);
    sent.end();
  });

test("each account of the policy has a socket for itself alone, with a link in its home, and all share the public one", async () => {
  const { name, uid: owner } = tenant();
  known = [name];
  await control.open();
  expect(statSync(socketOf(name)).mode & 0o777).toBe(0o600);
  expect(statSync(socketOf(name)).uid).toBe(owner);
  expect(statSync(publicSocket()).mode & 0o777).toBe(0o666);
  expect(readlinkSync(join(directory, "home", HOME_SOCKET))).toBe(socketOf(name));
  const other = name === username ? "stranger" : username;
  expect(existsSync(socketOf(other))).toBe(false);
});

test("the API answers on the account's socket, on its link and on the public socket", async () => {
  const { name } = tenant();
  known = [name];
  await control.open();
  for (const path of [socketOf(name), join(directory, "home", HOME_SOCKET), publicSocket()])
    expect(await ask(path)).toBe(200);
});

test("a request has the account that connected as its caller, on any socket", async () => {
  await control.open();
  broken = true;
  expect([await ask(publicSocket()), await ask(socketOf(username)), callers]).toEqual([500, 500, [username, username]]);
});

test("an account that leaves the policy loses its socket, and another keeps the same one", async () => {
  await control.open();
  const { ino } = lstatSync(publicSocket());
  known = [];
  await control.open();
  expect([existsSync(socketOf(username)), lstatSync(publicSocket()).ino]).toEqual([false, ino]);
});

test("a home without place for the link costs a warning, and the socket is opened", async () => {
  mkdirSync(join(directory, "home/.daemon-manager"));
  writeFileSync(join(directory, "home", HOME_SOCKET), "");
  const { name } = tenant();
  known = [name];
  await control.open();
  expect(lines).toEqual([expect.stringContaining("warn no link to the control socket in the user's home: EEXIST")]);
  expect(await ask(socketOf(name))).toBe(200);
});

test("only a supervisor that is root opens sockets for other accounts", async () => {
  known = [username, "stranger"];
  await control.open();
  expect([existsSync(socketOf(username)), existsSync(socketOf("stranger"))]).toEqual([true, privileged]);
});

test.runIf(privileged)(
  "root has a socket, and no link in its home that several supervisors would replace",
  async () => {
    await control.open();
    expect([existsSync(socketOf(username)), existsSync(join(directory, "home", HOME_SOCKET))]).toEqual([true, false]);
  },
);

test("close removes every socket", async () => {
  await control.open();
  control.close();
  expect([existsSync(socketOf(username)), existsSync(publicSocket())]).toEqual([false, false]);
});
