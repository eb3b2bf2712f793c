import { expect, it } from "vitest";
import { type Hostname, hostname } from "../core/hostname.ts";
import { type SitePath, sitePath } from "../core/site.ts";
import { type DeploymentStatus, hostStatusesOf, logProblemOf } from "./host-status.ts";

const HOST = hostname("a.example.org") as Hostname;
const OTHER = hostname("b.example.org") as Hostname;
const TEXT = "# site alice/a\n";
const PUBLISHED = { text: TEXT, logs: sitePath("/logs/alice") as SitePath };
const LOGS = {
  access: "/logs/alice/a.example.org.access.log",
  error: "/logs/alice/a.example.org.error.log",
  problem: "",
};

const statusOf = (change: Partial<DeploymentStatus> = {}): DeploymentStatus => ({
  isServed: () => false,
  refusalOf: () => undefined,
  problem: undefined,
  ...change,
});
const oneOf = (status: DeploymentStatus, port = 80) =>
  hostStatusesOf({ hosts: [HOST], refused: new Map() }, PUBLISHED, status, "", port)[0];

it.each<[string, Partial<DeploymentStatus>, "published" | "pending" | "refused", string]>([
  ["published when its text is in force", { isServed: (text) => text === TEXT }, "published", ""],
  ["pending when nothing is in its way", {}, "pending", "the web server does not serve it yet"],
  [
    "pending when a request failed",
    { problem: { kind: "failed", reason: "no room" } },
    "pending",
    "the web server does not serve it yet: no room",
  ],
  [
    "refused with Nginx's complaint about its text, whatever else failed",
    { refusalOf: (text) => (text === TEXT ? "[emerg] x" : undefined), problem: { kind: "failed", reason: "no room" } },
    "refused",
    "host a.example.org: the web server refuses this site: [emerg] x",
  ],
  [
    "refused without the complaint when it may be about another owner's site",
    { problem: { kind: "refused", reason: "/home/bob/secret" } },
    "refused",
    "host a.example.org: the web server refuses its configuration; the supervisor's log, which root can read, has the reason",
  ],
])("a host is %s", (_what, change, state, reason) => {
  expect(oneOf(statusOf(change))).toEqual({ name: HOST, state, reason, url: "http://a.example.org/", logs: LOGS });
});

it("a host that must not be published is refused without logs, also while its daemon's other hosts are in force", () => {
  const refused = new Map([[OTHER, "host b.example.org is not granted"]]);
  const statuses = hostStatusesOf(
    { hosts: [HOST, OTHER], refused },
    PUBLISHED,
    statusOf({ isServed: () => true }),
    "",
    80,
  );
  expect(statuses.map(({ state }) => state)).toEqual(["published", "refused"]);
  expect(statuses[1]).toMatchObject({ reason: "host b.example.org is not granted", logs: undefined });
});

it("a host without a site is refused", () => {
  const [status] = hostStatusesOf({ hosts: [HOST], refused: new Map() }, undefined, statusOf(), "", 80);
  expect(status).toMatchObject({ state: "refused", logs: undefined });
});

it("the address of a host names a port other than 80", () => {
  expect(oneOf(statusOf(), 8080)?.url).toBe("http://a.example.org:8080/");
});

it("the status of a host tells why its owner cannot read the logs", () => {
  const owner = { name: "alice", uid: 1001, gid: 100, home: "/home/alice", shell: "/bin/sh" };
  const problem = logProblemOf(owner);
  expect(problem).toMatch(/^alice cannot read the logs of their sites: their primary group \(100\) has other members/);
  const [status] = hostStatusesOf({ hosts: [HOST], refused: new Map() }, PUBLISHED, statusOf(), problem, 80);
  expect(status?.logs?.problem).toBe(problem);
});
