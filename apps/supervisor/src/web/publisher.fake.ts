/** A publisher on fakes, and daemons for it. */
import { parseDaemonFile } from "../conf/daemon-file.ts";
import { parsePolicy } from "../conf/policy-file.ts";
import { initial } from "../core/lifecycle.ts";
import { type Policy, resolvePolicy } from "../core/policy.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import { HandClock } from "./ports/clock.fake.ts";
import { FakeSiteFiles } from "./ports/site-files.fake.ts";
import { FakeSiteRecord } from "./ports/site-record.fake.ts";
import { FakeWebServer } from "./ports/web-server.fake.ts";
import { Publisher, type SiteDaemon } from "./publisher.ts";

const account = (name: string, uid: number): Account => ({
  name,
  uid,
  gid: uid,
  home: `/home/${name}`,
  shell: "/bin/sh",
});
export const ALICE = account("alice", 1001);
export const BOB = account("bob", 1002);
const ACCOUNTS: AccountBase = {
  users: new Map([ALICE, BOB].map((each) => [each.name, each])),
  groups: new Map(),
};
/** Time after which every periodic check has run, in ms. */
export const LONG = 61_000;
export const MOMENT = 1000;

const policyOf = (hosts: string): Policy => {
  const { value, errors } = parsePolicy(`[runs_as]\nalice\nbob\n[hosts]\n${hosts}\n`);
  if (!value) throw new Error(JSON.stringify(errors));
  return resolvePolicy(value, ACCOUNTS).policy;
};

export let clock: HandClock;
export let server: FakeWebServer;
export let siteFiles: FakeSiteFiles;
export let record: FakeSiteRecord;
export let policy: Policy;
export let accounts: AccountBase;
export let daemons: DaemonOfTest[];
export let reports: string[];
export let publisher: Publisher;

export type DaemonOfTest = { -readonly [Key in keyof SiteDaemon]: SiteDaemon[Key] };

/** What a conf file of these lines makes of a daemon. */
export const termsOf = (owner: Account, lines: readonly string[]): NonNullable<SiteDaemon["serving"]> => {
  const { value, errors } = parseDaemonFile(["start = exec true", ...lines, ""].join("\n"));
  if (!value) throw new Error(JSON.stringify(errors));
  return { definition: value, fingerprint: "", account: owner, logDirectory: "", nginxGroup: "" };
};
export const add = (owner: Account, name: string, ...lines: string[]): DaemonOfTest => {
  const key = { owner, name };
  const daemon = { id: `${owner.name}/${name}`, key, serving: termsOf(owner, lines), state: initial, hosts: [] };
  daemons.push(daemon);
  return daemon;
};
/** A daemon that is published by its socket alone. */
export const site = (owner: Account, name: string, ...hosts: string[]): DaemonOfTest =>
  add(owner, name, "listen = http", `host = ${hosts.join(", ")}`);
export const remove = (daemon: DaemonOfTest): void => {
  daemons = daemons.filter((each) => each !== daemon);
};
export const start = (): void => {
  publisher = new Publisher({
    daemons: () => daemons,
    policy: () => policy,
    accounts: () => accounts,
    web: { server, siteFiles, record },
    clock,
    port: 80,
    reloadInterval: 15_000,
    report: (level, text) => reports.push(`${level}: ${text}`),
  });
  publisher.plan();
};
export const review = async (time = MOMENT): Promise<void> => {
  publisher.plan();
  await clock.pass(time);
};
export const standings = (...of: DaemonOfTest[]): string[] =>
  of.flatMap(({ hosts }) => hosts.map(({ name, state }) => `${name} ${state}`));
export const reasonOf = ({ hosts }: DaemonOfTest): string | undefined => hosts[0]?.reason;

/** Resets all: no daemon, and a web server that is connected. */
export const reset = (): void => {
  clock = new HandClock();
  server = new FakeWebServer();
  siteFiles = new FakeSiteFiles();
  record = new FakeSiteRecord();
  policy = policyOf("alice: *.example.org\nbob: *.example.org");
  accounts = ACCOUNTS;
  daemons = [];
  reports = [];
  server.connect();
};

export const setPolicy = (hosts: string): void => {
  policy = policyOf(hosts);
};
export const setAccounts = (next: AccountBase): void => {
  accounts = next;
};
