/** Tab behind `dmctl`, in real shells, before a real supervisor. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SIGNALS } from "@dmhost/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../apps/dmctl/src/commands/table.ts";
import type { Account } from "./account.ts";
import { CompletionDesk, SHELLS } from "./shell-completion.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox } from "./toolbox.ts";

let stage: Stage;
let desk: CompletionDesk;
let alice: Account;
let helper: Account;
let eve: Account;
let supervisor: Supervisor;
let env: { PATH: string; DMCTL_SOCKET: string };
/** Directory of a dmctl that gets no answer. */
let mute: string;
/** Ids of the daemons that there are. */
let ids: Record<"aliceWeb" | "aliceJob" | "bobWeb" | "bobTask", string>;

beforeAll(async () => {
  stage = new Stage();
  const bin = `${stage.directory}/bin`;
  const { node, dmctl } = await fillToolbox(bin);
  writeFileSync(join(bin, "dmctl"), `#!/bin/sh\nexec "${node}" "${dmctl}" "$@"\n`, { mode: 0o755 });
  // On a slow machine dmctl takes longer than the two seconds that it is given.
  writeFileSync(join(bin, "timeout"), '#!/bin/sh\n[ "$1" = 2 ] && shift && exec "$@"\n', { mode: 0o755 });
  mute = `${stage.directory}/mute`;
  mkdirSync(mute, { mode: 0o755 });
  writeFileSync(join(mute, "dmctl"), "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  desk = new CompletionDesk(`${stage.directory}/completion`);
  alice = await stage.account("alice");
  const bob = await stage.account("bob");
  helper = await stage.account("helper");
  eve = await stage.account("eve");
  const rules = [alice.name, bob.name, "[manages]", `${helper.name}: ${alice.name}, ${bob.name}`];
  supervisor = stage.supervisor("main", ["[runs_as]", ...rules]);
  for (const [owner, name] of [
    [alice, "web"],
    [alice, "job"],
    [bob, "web"],
    [bob, "task"],
  ] as const)
    owner.writeConf(name, "start = exec sleep 1000", "autostart = no");
  await supervisor.start();
  ids = {
    aliceWeb: `${alice.name}/web`,
    aliceJob: `${alice.name}/job`,
    bobWeb: `${bob.name}/web`,
    bobTask: `${bob.name}/task`,
  };
  env = { PATH: `${bin}:/usr/bin:/bin`, DMCTL_SOCKET: supervisor.socket };
});
afterAll(() => stage.remove());

/** Commands that take any of these. */
const commandsOf = (...takes: string[]): string[] =>
  COMMANDS.filter((command) => takes.includes(command.takes)).map(({ name }) => name);
const EVERY = COMMANDS.map(({ name }) => name);
const ABOUT_ONE = commandsOf("optional", "one", "many", "signal", "question", "sized");
const flags = (prefix: string): string[] => [...SIGNALS.keys()].map((name) => `${prefix}${name}`);

describe.each(SHELLS)("completion in %s", (shell) => {
  /** Asks each line, and compares with what is expected of it. */
  const check = async (account: Account, expected: Readonly<Record<string, readonly string[]>>, where = env) => {
    const lines = Object.keys(expected);
    const { offered, errors } = await desk.ask(shell, account, lines, where);
    expect(Object.fromEntries(lines.map((line, index) => [line, offered[index]]))).toEqual(
      Object.fromEntries(Object.entries(expected).map(([line, words]) => [line, [...words].sort()])),
    );
    expect(errors).toBe("");
  };

  test("shell completion offers ids and commands in both word orders, and no id twice", () =>
    check(helper, {
      "dmctl ": [...EVERY, ...Object.values(ids)],
      [`dmctl ${ids.aliceWeb} `]: ABOUT_ONE,
      [`dmctl ${ids.aliceWeb} ${ids.bobWeb} `]: commandsOf("many"),
      "dmctl restart ": Object.values(ids),
      [`dmctl restart ${ids.aliceWeb} `]: [ids.aliceJob, ids.bobWeb, ids.bobTask],
      [`dmctl status ${alice.name}/`]: [ids.aliceWeb, ids.aliceJob],
      [`dmctl log ${ids.aliceWeb} `]: [],
      "dmctl list ": [],
      "dmctl resta": ["restart"],
      "dmctl help ex": ["exit", "explain", "export"],
      "dmctl log --lines ": [],
      "dmctl log --lines 5 ": Object.values(ids),
    }));

  test("shell completion offers a name without its owner if only one owner has it", async () => {
    await check(helper, { "dmctl restart ta": ["task"], "dmctl restart jo": ["job"], "dmctl jo": ["job"] });
    // fish offers ids that contain what is typed, too.
    if (shell !== "fish") await check(helper, { "dmctl restart we": [] });
    await check(alice, { "dmctl restart we": ["web"], "dmctl pid ": [ids.aliceWeb, ids.aliceJob] });
  });

  test("shell completion offers every signal in the spelling of the word so far", () =>
    check(alice, {
      "dmctl kill ": [ids.aliceWeb, ids.aliceJob],
      "dmctl kill -": [...flags("-"), "--help", "--json"],
      "dmctl kill web ": flags("-"),
      "dmctl web kill ": flags("-"),
      "dmctl web kill US": ["USR1", "USR2"],
      "dmctl web kill SIGK": ["SIGKILL"],
      "dmctl kill web -SIGU": ["-SIGURG", "-SIGUSR1", "-SIGUSR2"],
      "dmctl kill -HUP ": [ids.aliceWeb, ids.aliceJob],
      "dmctl kill HUP ": [ids.aliceWeb, ids.aliceJob],
      "dmctl kill -HUP web ": [],
    }));

  test("shell completion offers the options of each command", () => {
    const own = COMMANDS.map(({ name, options }): [string, string[]] => [
      `dmctl ${name} --`,
      [...options.map((option) => `--${option}`), "--help"],
    ]);
    return check(eve, { ...Object.fromEntries(own), "dmctl --": ["--help", "--json", "--long", "--version"] });
  });

  test("shell completion offers the words of a question to the policy", () =>
    check(helper, {
      "dmctl explain ": Object.values(ids),
      [`dmctl explain --policy ${alice.name}`]: [alice.name],
      [`dmctl explain --policy ${alice.name} ru`]: ["run-as"],
      [`dmctl explain --policy ${alice.name} restart `]: Object.values(ids),
    }));

  test("shell completion offers only commands, and prints nothing, outside the policy and without a supervisor", async () => {
    await check(eve, { "dmctl ": EVERY, "dmctl restart ": [] });
    await check(alice, { "dmctl ": EVERY, "dmctl restart ": [] }, { ...env, DMCTL_SOCKET: "/nonexistent" });
    await check(alice, { "dmctl restart ": [] }, { ...env, PATH: "/usr/bin:/bin" });
  });

  // The `timeout` of the other tests refuses another limit than two seconds; without any this one would not end.
  test("shell completion gives up a supervisor that does not answer after two seconds", () =>
    check(alice, { "dmctl restart ": [] }, { ...env, PATH: `${mute}:/usr/bin:/bin` }));
});
