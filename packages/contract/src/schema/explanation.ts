/** GET /v1/daemons/:address/explanation: why a daemon is in its state. */
import type { Static } from "typebox";
import { DaemonStatus } from "./daemons.ts";
import { Ruling } from "./policy.ts";
import { amount, count, flag, list, nullable, oneOf, record, text, texts } from "./shapes.ts";

export const LastExit = record("How the last run that ended did so.", {
  run: count("Number of that run; the first is 1."),
  how: oneOf(
    ["code", "signal", "out-of-memory", "too-many-files", "launch-failed", "not-ready", "unknown"],
    "`code`, `signal`: its main process ended so. `out-of-memory`: it reached its memory limit. `too-many-files`: it put too much " +
      "into the directory of its socket. `launch-failed`: the program never started. `not-ready`: readiness was not reported in " +
      "time. `unknown`: no supervisor observed the exit.",
  ),
  code: nullable(count("Exit code.")),
  signal: nullable(text("Name of the signal, with SIG.")),
  cause: nullable(
    oneOf(
      ["out-of-memory", "stop-timeout"],
      "`out-of-memory`: the kernel had no memory left for it. `stop-timeout`: it did not end after TERM. null: not known.",
    ),
  ),
  stage: nullable(text("Stage of the launch that failed, e.g. `entering /srv/x`.")),
  memory: nullable(
    record("With `out-of-memory`.", {
      limit: nullable(amount("Bytes that it may have.")),
      peak: nullable(amount("Highest number of bytes that it had.")),
    }),
  ),
  text: text("The above in words."),
  meaning: text('What that usually means; "" when the text says it all.'),
  failed: flag("Whether it counts as a failed run."),
});
export type LastExit = Static<typeof LastExit>;

export const Setting = record("A key of a conf file and the value in effect.", {
  key: text("Key; `export NAME` for a variable of the environment."),
  value: text("Value. Variables are hidden from callers who may not read the conf file."),
  isDefault: flag("Whether the value is the key's default."),
});
export type Setting = Static<typeof Setting>;

const Manager = record("An account that may control the daemon besides its owner and root.", {
  user: text("Account."),
  source: text("`path:line` of the policy file."),
});

const BudgetShare = record("A limit of all daemons of the owner together.", {
  key: text("Key of [limits]."),
  value: text("Value, as the policy file says it."),
  source: text("`path:line` of the policy file."),
});

/** The fields of an explanation, which an export has for each daemon too. */
export const explanation = {
  daemon: DaemonStatus,
  lastExit: nullable(LastExit),
  failures: count("Failed runs in a row."),
  maxRetries: nullable(count("Failed runs in a row after which it is given up; null: never.")),
  nextRetry: nullable(amount("Seconds until the next automatic start; null when none is scheduled.")),
  advice: text('What to do next, one sentence; "" when nothing is wrong.'),
  policy: record("What the policy says about the daemon.", {
    runAs: Ruling,
    managers: list(Manager, "Accounts that may control it besides its owner and root."),
  }),
  settings: list(
    Setting,
    "Every key, of the present run when one lives, else of the conf file; none while the file has errors.",
  ),
  budget: list(BudgetShare, "The owner's budget."),
  log: record("End of its log.", {
    lines: texts("The last lines, at most 10, with their labels."),
    problem: text('Why there are no lines; "" when there are.'),
  }),
  containment: text("As in Health."),
};

export const Explanation = record("Why a daemon is in its state.", explanation);
export type Explanation = Static<typeof Explanation>;
