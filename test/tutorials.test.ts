/** What the tutorials show of dmctl, compared with the code that prints it. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { NOTHING_CHANGED } from "../apps/dmctl/src/commands/files.ts";
import { policyLine } from "../apps/dmctl/src/status/explanation.ts";
import { outcomeLine, statusTable } from "../apps/dmctl/src/status/render.ts";
import { svstatLine } from "../apps/dmctl/src/status/svstat-line.ts";
import { daemon } from "../apps/dmctl/src/supervisor.fake.ts";
import { UNTOUCHED } from "../apps/supervisor/src/api/outcome.ts";
import { describeExit } from "../apps/supervisor/src/core/exit.ts";
import { hostname } from "../apps/supervisor/src/core/hostname.ts";
import { machine, resolved } from "../apps/supervisor/src/core/policy.fake.ts";

const LOOK = { colour: false, reasons: false, long: false };

const page = (name: string): string =>
  readFileSync(resolve(import.meta.dirname, `../docs/tutorials/${name}.md`), "utf8");

/** The commands `$ dmctl ...` of a page, each with the indented lines below it. */
const shown = (name: string): (readonly [command: string, output: string])[] => {
  const blocks = page(name).split(/\n(?! {4})/);
  const pieces = blocks.flatMap((block) => block.replaceAll(/^ {4}/gm, "").split(/^(?=\$ )/m));
  return pieces.flatMap((piece) => {
    const [, command, output = ""] = /^\$ (dmctl\b[^\n]*)\n?(.*)$/s.exec(piece) ?? [];
    return command === undefined ? [] : [[command, output.trimEnd() && `${output.trimEnd()}\n`]];
  });
};

const outcome = (id: string, state: "running" | "stopped", pid: number): string =>
  outcomeLine(
    { ok: true, changed: true, reason: "", lastLogLine: "", advice: "", daemon: daemon(id, { state, pid }) },
    LOOK,
  );

/** The pid that a page shows. @param pattern has it as its group */
const pidIn = (name: string, pattern: RegExp): number => Number(pattern.exec(page(name))?.[1]);
const IN_TABLE = /running +(\d+)/;
const IN_OUTCOME = /running, pid (\d+)/;

test("the tutorial about a first site shows what dmctl prints", () => {
  const { policy } = resolved("[runs_as]\nalice:\n\n[hosts]\nalice: blog.example.org\n", machine("root:0 alice:1001"));
  const host = hostname("blog.example.org");
  if (host === undefined) throw new Error("not a host");
  const { allowed, because } = policy.mayHost("alice", host);
  const blog = daemon("alice/blog", { pid: pidIn("first-site", IN_TABLE), uptime: 3, total: 3 });
  const source = /\/etc\/daemon-manager\.conf:\d+/.exec(page("first-site"))?.[0] ?? "";
  expect(shown("first-site")).toEqual([
    ["dmctl rescan", NOTHING_CHANGED],
    [
      "dmctl explain --policy alice host blog.example.org",
      policyLine({ caller: "alice", verb: "host", address: host, allowed, reason: because, source }),
    ],
    ["dmctl", statusTable([blog], LOOK)],
    ["dmctl blog kill -KILL", ""],
    [
      "dmctl blog restart",
      `dmctl: cannot restart "alice/blog": ${describeExit({ how: "code", code: 127 })}\n${UNTOUCHED}\n`,
    ],
    ["dmctl blog restart", outcome("alice/blog", "running", pidIn("first-site", IN_OUTCOME))],
  ]);
});

test("the tutorial about a service directory shows what dmctl prints", () => {
  const pid = pidIn("service-directory", IN_TABLE);
  const clock = daemon("alice/clock", { pid, uptime: 2, total: 2, configFile: "/home/alice/service/clock/run" });
  expect(shown("service-directory")).toEqual([
    ["dmctl", statusTable([clock], LOOK)],
    ["dmctl clock svstat", `${svstatLine(clock, "/home/alice")}\n`],
    ["dmctl clock down", outcome("alice/clock", "stopped", 0)],
    ["dmctl clock up", outcome("alice/clock", "running", pidIn("service-directory", IN_OUTCOME))],
  ]);
});
