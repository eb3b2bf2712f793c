import type { Explanation } from "@dmhost/contract";
import { expect, test } from "vitest";
import { daemon } from "../supervisor.fake.ts";
import { explanationText, policyLine } from "./explanation.ts";

const explained: Explanation = {
  daemon: daemon("amy/blog", {
    state: "coolingdown",
    pid: 0,
    uptime: 0,
    respawns: 4,
    cooldown: 2.4,
    reason: "exited with code 1",
    user: "www-data",
    configChanged: true,
    warnings: ['/x/blog.conf:3: unknown key "dri"'],
  }),
  lastExit: {
    run: 5,
    how: "code",
    code: 1,
    signal: null,
    cause: null,
    stage: null,
    memory: null,
    text: "exited with code 1",
    meaning: "its own code",
    failed: true,
  },
  failures: 4,
  maxRetries: null,
  nextRetry: 2.4,
  advice: "Look at the log.",
  policy: {
    runAs: { allowed: true, reason: "[runs_as] lets amy run daemons as www-data", source: "/etc/p.conf:4" },
    managers: [{ user: "david", source: "/etc/p.conf:9" }],
  },
  settings: [
    { key: "start", value: "exec php-cgi", isDefault: false },
    { key: "dir", value: "/", isDefault: true },
  ],
  log: { lines: ["@400000003b4a39c23294b13c cannot listen\u001b[2J"], problem: "" },
  containment: "cgroup",
  budget: [{ key: "memory", value: "1G", source: "/etc/p.conf:14" }],
};

test("the explanation of a failing daemon has its state, history, rights, settings and log", () => {
  expect(explanationText(explained, "utc")).toBe(`\
amy/blog is coolingdown: exited with code 1
Look at the log.

state        coolingdown, desired up, no process, 4 respawns
last exit    run 5: exited with code 1; its own code; counts as failed
failed runs  4 in a row; retried without limit
next retry   in 3s; \`dmctl amy/blog start\` does not wait
runs as      www-data: [runs_as] lets amy run daemons as www-data (/etc/p.conf:4)
managed by   amy, root, david (/etc/p.conf:9)
file         /home/amy/.daemon-manager/daemons/blog.conf, changed on disk; restart to apply
warning      /x/blog.conf:3: unknown key "dri"
socket       none
containment  cgroup
limits       none
budget       memory=1G (/etc/p.conf:14)

settings
  start  exec php-cgi
  dir    /  (default)

log: /home/amy/.daemon-manager/logs/blog/current
  2001-07-09 23:09:22.848605500 cannot listen\\x1b[2J
`);
});

test("the explanation of a running daemon has its use, limits, sites and lost log lines", () => {
  const site = { name: "a.org", url: "http://a.org/", state: "published", reason: "" } as const;
  const usage = { memory: null, memoryPeak: null, memoryPressure: null, processes: 3, cpu: 90, cpuThrottled: null };
  const text = explanationText({
    ...explained,
    nextRetry: null,
    maxRetries: 5,
    lastExit: explained.lastExit && { ...explained.lastExit, meaning: "", failed: false },
    daemon: daemon("amy/blog", {
      socket: "/run/blog.sock",
      logFile: "",
      logDropped: 3,
      usage: { ...usage, oomKills: 0 },
      limits: {
        enforcedBy: "cgroup",
        keys: [{ key: "memory", value: "64 MiB", budget: false, enforcedBy: "cgroup", pending: false, note: "" }],
      },
      hosts: [
        { ...site, accessLog: "/l/access.log", errorLog: "/l/error.log", logProblem: "" },
        { ...site, url: "http://b.org/", accessLog: "/l/b", errorLog: "/l/c", logProblem: "not yours" },
        { ...site, url: "http://c.org/", state: "refused", accessLog: "", errorLog: "", logProblem: "" },
      ],
    }),
  });
  expect(text.slice(0, text.indexOf("\n\nsettings"))).toBe(`\
amy/blog is running
Look at the log.

state        running, desired up, pid 4711, up 1m0s, 0 respawns
last exit    run 5: exited with code 1
failed runs  4 in a row; at most 5 are retried
next retry   none
runs as      amy: [runs_as] lets amy run daemons as www-data (/etc/p.conf:4)
managed by   amy, root, david (/etc/p.conf:9)
file         /home/amy/.daemon-manager/daemons/blog.conf
dropped      its log: 3 lines dropped
socket       /run/blog.sock
site         http://a.org/ published
             /l/access.log, /l/error.log
site         http://b.org/ published
             /l/b, /l/c (unreadable)
site         http://c.org/ refused
containment  cgroup
usage        3 processes, cpu 1m30s
limits       cgroup
             memory=64 MiB, enforced by cgroup
budget       memory=1G (/etc/p.conf:14)`);
  expect(text).toContain("\nlog\n");
});

test("the explanation of a failed daemon names the command that starts it, and the problem of its log", () => {
  const failed = daemon("amy/blog", { state: "failed", logProblem: "no space left" });
  const text = explanationText({ ...explained, nextRetry: null, daemon: failed });
  expect(text).toContain("next retry   none until `dmctl amy/blog start`\n");
  expect(text).toContain("log problem  its log: no space left\n");
});

test("an invalid file has no settings, and a missing log has its reason", () => {
  const text = explanationText({
    ...explained,
    advice: "",
    lastExit: null,
    settings: [],
    log: { lines: [], problem: "nothing has been written yet" },
  });
  expect(text).toContain("\n  none: its file has an error\n");
  expect(text).toContain("last exit    none yet\n");
  expect(text.endsWith("current\n  nothing has been written yet\n")).toBe(true);
});

test("a policy answer is yes or no with the line of the policy file", () => {
  const question = { caller: "david", verb: "restart", address: "amy/blog" } as const;
  expect(policyLine({ ...question, allowed: true, reason: "it is so", source: "/etc/p.conf:9" })).toBe(
    "yes: it is so (/etc/p.conf:9)\n",
  );
  expect(policyLine({ ...question, allowed: false, reason: "no line", source: "" })).toBe("no: no line\n");
});
