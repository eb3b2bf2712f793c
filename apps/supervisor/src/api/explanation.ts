/** Why a daemon is in its state, out of everything that the supervisor knows of it. */
import type { Explanation, Health, LastExit, Lifecycle, Ruling, Setting } from "@dmhost/contract";
import { advice, meaning } from "../core/advice.ts";
import { BUDGET_KEYS, writeShare } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { describeExit, type State } from "../core/lifecycle.ts";
import type { Verdict } from "../core/policy.ts";
import type { Daemon } from "../engine/daemon.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import { concernOf, type ReadLog, readTail } from "./log-tail.ts";
import { present } from "./presentation.ts";

/** What an explanation is made of besides the daemon. */
export interface ExplanationSurroundings {
  /** The supervisor's clock, in ms. */
  now(): number;
  health(): Health;
  readonly readLog: ReadLog;
  /** Path of the policy file. */
  readonly policyFile: string;
  /** What every key of a daemon's file comes to. */
  effectiveSettings(definition: Definition): readonly Setting[];
}

const LINES = 10;

/** A verdict of the policy with the place in its file. */
export const ruling = ({ allowed, because, line }: Verdict, policyFile: string): Ruling => ({
  allowed,
  because,
  source: line === undefined ? "" : `${policyFile}:${line}`,
});

const lastExit = ({ last }: State): LastExit | null => {
  if (last === undefined) return null;
  const { run, exit, failed } = last;
  return {
    run,
    how: exit.how,
    code: exit.how === "code" ? exit.code : null,
    signal: exit.how === "signal" ? exit.signal : null,
    cause: ((exit.how === "code" || exit.how === "signal") && exit.cause) || null,
    stage: exit.how === "launch" ? exit.stage : null,
    memory: exit.how === "memory" ? { limit: exit.limit ?? null, peak: exit.peak ?? null } : null,
    text: describeExit(exit),
    meaning: meaning(exit),
    failed,
  };
};

/** Explains a daemon; its log is read with its owner's authority. */
export const explain = async (
  supervisor: Supervisor,
  about: ExplanationSurroundings,
  daemon: Daemon,
): Promise<Explanation> => {
  const { policy } = supervisor;
  const { state, terms, file, key } = daemon;
  const definition = terms?.definition ?? file.definition;
  const owner = key.owner.name;
  const user = file.definition?.user ?? terms?.account.name ?? owner;
  const status = present(daemon, about.now(), true);
  return {
    daemon: status,
    lastExit: lastExit(state),
    failures: state.failures,
    maxRetries: definition?.maxRetries ?? null,
    nextRetry: state.phase === "coolingdown" ? status.cooldown : null,
    advice: advice(state, concernOf(daemon, user)),
    policy: {
      runAs: ruling(policy.mayRunAs(owner, user), about.policyFile),
      managers: policy
        .rights()
        .manages.filter(({ holder, object }) => object === owner && holder !== owner)
        .map(({ holder, line }) => ({ user: holder, source: `${about.policyFile}:${line}` })),
    },
    settings: definition ? [...about.effectiveSettings(definition)] : [],
    budget: BUDGET_KEYS.flatMap((key) => {
      const share = policy.budget(owner)[key];
      return share ? [{ key, value: writeShare(key, share.amount), source: `${about.policyFile}:${share.line}` }] : [];
    }),
    log: await readTail(daemon, about.readLog, LINES),
    containment: about.health().containment,
  };
};

/**
 * Where a daemon's life stands, its times on the calendar.
 * @param now the supervisor's clock, in ms, at this moment
 */
export const lifecycle = ({ state }: Daemon, now: number): Lifecycle => {
  const date = (time: number | undefined): string | null =>
    time === undefined ? null : new Date(Date.now() + time - now).toISOString();
  const { phase, want, run, failures, respawns, stopRequested, block } = state;
  return {
    phase,
    want,
    run,
    failures,
    respawns,
    stopRequested,
    startedAt: date(state.startedAt),
    wantedAt: date(state.wantedAt),
    deadline: date(state.deadline),
    block: block ? { kind: block.kind, reason: block.reason } : null,
  };
};
