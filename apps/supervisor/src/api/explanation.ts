/** Why a daemon is in its state: exit, policy, settings, log. */
import type { Explanation, LastExit, Lifecycle, Ruling } from "@dmhost/contract";
import { advice, meaning } from "../core/advice.ts";
import { BUDGET_KEYS, writeShare } from "../core/budget.ts";
import { describeExit } from "../core/exit.ts";
import type { State } from "../core/lifecycle.ts";
import type { PolicyDecision } from "../core/policy.ts";
import type { ControlledDaemon, Engine } from "./engine.ts";
import { concernOf, readTail } from "./log-tail.ts";
import { present } from "./presentation.ts";
import type { ExplanationSurroundings } from "./surroundings.ts";

const LINES = 10;

/** A verdict of the policy with its line of the file. */
export const ruling = ({ allowed, because, line }: PolicyDecision, policyFile: string): Ruling => ({
  allowed,
  reason: because,
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
    cause: (exit.how === "code" || exit.how === "signal" ? exit.cause : undefined) ?? null,
    stage: exit.how === "launch-failed" ? exit.stage : null,
    memory: exit.how === "out-of-memory" ? { limit: exit.limit ?? null, peak: exit.peak ?? null } : null,
    text: describeExit(exit),
    meaning: meaning(exit),
    failed,
  };
};

/** Explains a daemon. Its log is read with its owner's authority. */
export const explain = async (
  { policy }: Pick<Engine, "policy">,
  about: ExplanationSurroundings,
  daemon: ControlledDaemon,
): Promise<Explanation> => {
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
 * The state machine of a daemon, with its times as dates.
 * @param now the supervisor's clock, in ms
 */
export const lifecycle = ({ state }: Pick<ControlledDaemon, "state">, now: number): Lifecycle => {
  // Read once, so that the dates are as far apart as the times.
  const present = Date.now();
  const date = (time: number | undefined): string | null =>
    time === undefined ? null : new Date(present + time - now).toISOString();
  const { phase, want, run, failures, respawns, stopRequested, block } = state;
  return {
    phase,
    desiredState: want,
    run,
    failures,
    respawns,
    stopRequested,
    startedAt: date(state.startedAt),
    upRequestedAt: date(state.wantedAt),
    deadline: date(state.deadline),
    block: block ? { kind: block.kind, reason: block.reason } : null,
  };
};
