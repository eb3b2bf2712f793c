import { DAEMON_STATES } from "@dmhost/contract";
import { expect, test } from "vitest";
import { daemon } from "../supervisor.fake.ts";
import { healthLines, outcomeLine, rescanLines, statusTable } from "./render.ts";

const plain = { colour: false, reasons: false, long: false };
const WEEKS = 3 * 604_800 + 3 * 86_400 + 5;

/** As Daemon Manager's article prints it. */
const ARTICLE = `\
daemon-id                      state              pid respawns cooldown   uptime    total
david/deluge-web               running           2948        0       0s     3w3d     3w3d
david/deluged                  running           2950        0       0s     3w3d     3w3d
david/greenfelt                stopped              0        0       0s       0s       0s
david/minecraft                stopped              0        0       0s       0s       0s
david/moviefile                running           2951        0       0s     3w3d     3w3d
david/pytivo                   running          22905        0       0s     4d7h     4d7h
david/streamium                running           2958        0       0s     3w3d     3w3d
david/wordpress                running          27012       33       0s   12h57m     3w3d
`;

const running = (name: string, pid: number, uptime = WEEKS, total = WEEKS, respawns = 0) =>
  daemon(`david/${name}`, { pid, uptime, total, respawns });
const stopped = (name: string) =>
  daemon(`david/${name}`, { state: "stopped", desiredState: "down", pid: 0, uptime: 0, total: 0 });

test("the status table equals the one of Daemon Manager's article byte for byte", () => {
  const pytivo = 4 * 86_400 + 7 * 3600 + 12;
  const daemons = [
    running("deluge-web", 2948),
    running("deluged", 2950),
    stopped("greenfelt"),
    stopped("minecraft"),
    running("moviefile", 2951),
    running("pytivo", 22905, pytivo, pytivo),
    running("streamium", 2958),
    running("wordpress", 27012, 12 * 3600 + 57 * 60, WEEKS, 33),
  ];
  expect(statusTable(daemons, plain)).toBe(ARTICLE);
});

test("a long id widens its column for all rows, and a cooldown below a second is shown as 1s", () => {
  const daemons = [daemon(`a/${"x".repeat(40)}`), daemon("b/short", { state: "coolingdown", pid: 0, cooldown: 0.2 })];
  const lines = statusTable(daemons, plain).trimEnd().split("\n");
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[2]).toMatch(/^b\/short {36}coolingdown +0 +0 +1s /);
});

test("colour surrounds the state and moves no column", () => {
  const look = { ...plain, colour: true };
  const daemons = DAEMON_STATES.map((state) => daemon(`a/${state}`, { state }));
  const coloured = statusTable(daemons, look);
  const escapes = new RegExp(`${String.fromCodePoint(27)}\\[\\d*m`, "g");
  expect(coloured.match(escapes)).toHaveLength(2 * daemons.length);
  expect(coloured.replace(escapes, "")).toBe(statusTable(daemons, plain));
});

test("reasons of failing daemons and warnings are printed below the table", () => {
  const daemons = [
    daemon("a/well", { reason: "because" }),
    daemon("a/broken", { state: "failed", reason: "entering /srv/x: no such directory" }),
    daemon("a/warned", { warnings: ['/x/warned.conf:3: unknown key "dri"'] }),
  ];
  const below = (text: string): string => text.split("\n\n")[1] ?? "";
  const broken = "a/broken (failed)\n  entering /srv/x: no such directory\n";
  const warned = 'a/warned (running)\n  warning: /x/warned.conf:3: unknown key "dri"\n';
  expect(below(statusTable(daemons, plain))).toBe("");
  expect(below(statusTable(daemons, { ...plain, reasons: true }))).toBe(`${broken}${warned}`);
  expect(below(statusTable(daemons, { ...plain, reasons: true, long: true }))).toBe(
    `a/well (running)\n  because\n${broken}${warned}`,
  );
});

test("trouble of a log is printed below the table, and past losses only below the long one", () => {
  const daemons = [
    daemon("a/failing", { logProblem: "log/run ended at once with code 3" }),
    daemon("a/full", { logDropped: 1, logProblem: "no space left for its log (ENOSPC)" }),
    daemon("a/over", { logDropped: 120 }),
  ];
  const trouble = [
    "a/failing (running)\n  its log: log/run ended at once with code 3\n",
    "a/full (running)\n  its log: 1 line dropped; no space left for its log (ENOSPC)\n",
  ].join("");
  const look = { ...plain, reasons: true };
  expect(statusTable(daemons, look).split("\n\n")[1]).toBe(trouble);
  expect(statusTable(daemons, { ...look, long: true }).split("\n\n")[1]).toBe(
    `${trouble}a/over (running)\n  its log: 120 lines dropped\n`,
  );
});

test("the long table has each instance where there are several, and the sites that are not refused", () => {
  const instance = { state: "running", pid: 7, respawns: 2, cooldown: 0, uptime: 61, reason: "" } as const;
  const site = { name: "a.org", url: "http://a.org/", accessLog: "", errorLog: "", logProblem: "" };
  const scaled = daemon("a/scaled", {
    configChanged: true,
    instances: [
      { ...instance, instance: 1 },
      { ...instance, instance: 3, state: "coolingdown", pid: 0, cooldown: 1.2, reason: "exited with code 1" },
    ],
    hosts: [
      { ...site, state: "published", reason: "" },
      { ...site, url: "http://b.org/", state: "pending", reason: "Nginx reloads" },
      { ...site, url: "http://c.org/", state: "refused", reason: "not granted" },
    ],
  });
  const single = daemon("a/single", { instances: [{ ...instance, instance: 1 }] });
  const text = statusTable([scaled, single], { ...plain, reasons: true, long: true });
  expect(text).toMatch(/^a\/scaled +running\* /m);
  expect(text.split("\n\n")[1]).toBe(`\
a/scaled (running)
  #1 running, pid 7, 2 respawns, up 1m1s
  #3 coolingdown, 2 respawns, next start in 2s, exited with code 1
  changed on disk; restart to apply
  http://a.org/ published
  http://b.org/ pending: Nginx reloads
`);
});

test("no field that a tenant can write reaches the terminal with control characters", () => {
  const daemons = [
    daemon("a/x", { state: "failed", reason: "\u001b]0;owned\u0007\nroot/x running", warnings: ["\u202e"] }),
  ];
  const text = statusTable(daemons, { colour: false, reasons: true, long: true });
  expect(text).toContain("\\x1b]0;owned\\x07\\x0aroot/x running");
  expect(text).toContain("\\u{202e}");
});

test("outcomes, rescans and health are printed one fact a line", () => {
  const well = { ok: true, changed: true, reason: "", lastLogLine: "", advice: "" };
  expect(outcomeLine({ ...well, daemon: daemon("a/x") }, plain)).toBe("a/x running, pid 4711\n");
  expect(outcomeLine({ ...well, daemon: stopped("x") }, plain)).toBe("david/x stopped\n");
  const rescan = { found: ["a/x", "a/y"], started: ["a/x"], changed: [], removed: ["a/z"], problems: [], warnings: [] };
  expect(rescanLines(rescan)).toBe("found   a/x\nfound   a/y\nstarted a/x\nremoved a/z\n");
  const health = { version: "0.1.0", pid: 7, uptime: 3661, containment: "cgroup", shim: "current", problem: "" };
  const lines = "version     0.1.0\npid         7\nuptime      1h1m\ncontainment cgroup\nshim        current\n";
  expect(healthLines(health)).toBe(lines);
  expect(healthLines({ ...health, problem: "1 host" })).toBe(`${lines}problem     1 host\n`);
});
