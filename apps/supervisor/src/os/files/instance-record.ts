/** The shape of an instance's record. A field that is added to the type and not here does not compile. */
import type { Cause, Exit } from "../../core/exit.ts";
import type { Block, Phase, State } from "../../core/lifecycle.ts";
import type { LogTrace } from "../../engine/ports/logs.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { InstanceRecord, RecordedAccount } from "../../engine/ports/records.ts";
import type { RunTrace } from "../../engine/ports/runs.ts";
import {
  anyShape,
  type Fields,
  isBoolean,
  isCount,
  isNumber,
  isText,
  listOf,
  object,
  oneOf,
  optional,
  type Shape,
  wrongFields,
} from "./shape.ts";

/** 0 and 1 are no daemon's process. */
const isPid: Shape<number> = (value): value is number => isCount(value) && value > 1;
const isPath: Shape<string> = (value): value is string => isText(value) && value.startsWith("/");

const isProcess = object<ProcessIdentity>({ pid: isPid, startTime: isCount });

type How<T extends Exit["how"]> = Extract<Exit, { readonly how: T }>;

const isCause = optional(oneOf<Cause>({ "out-of-memory": true, "stop-timeout": true }));

const isExit = anyShape<Exit["how"], Exit>({
  code: object<How<"code">>({ how: oneOf({ code: true }), code: isCount, cause: isCause }),
  signal: object<How<"signal">>({ how: oneOf({ signal: true }), signal: isText, cause: isCause }),
  "out-of-memory": object<How<"out-of-memory">>({
    how: oneOf({ "out-of-memory": true }),
    limit: optional(isNumber),
    peak: optional(isNumber),
  }),
  "too-many-files": object<How<"too-many-files">>({ how: oneOf({ "too-many-files": true }), held: isText }),
  "launch-failed": object<How<"launch-failed">>({
    how: oneOf({ "launch-failed": true }),
    stage: isText,
    reason: isText,
  }),
  "not-ready": object<How<"not-ready">>({ how: oneOf({ "not-ready": true }), after: isNumber }),
  unknown: object<How<"unknown">>({ how: oneOf({ unknown: true }) }),
});

const isBlock = object<Block>({
  kind: oneOf({ forbidden: true, invalid: true }),
  reason: isText,
  bans: optional(oneOf({ owner: true })),
});

const isLast = object<NonNullable<State["last"]>>({
  run: isCount,
  exit: isExit,
  failed: isBoolean,
  permanent: optional(isBoolean),
});

const isState = object<State>({
  phase: oneOf<Phase>({
    stopped: true,
    starting: true,
    running: true,
    stopping: true,
    coolingdown: true,
    failed: true,
    asleep: true,
    forbidden: true,
    invalid: true,
  }),
  want: oneOf({ up: true, down: true }),
  run: isCount,
  deadline: optional(isNumber),
  block: optional(isBlock),
  startedAt: optional(isNumber),
  wantedAt: optional(isNumber),
  failures: isCount,
  respawns: isCount,
  stopRequested: isBoolean,
  once: isBoolean,
  paused: isBoolean,
  killed: isBoolean,
  draining: isBoolean,
  goingToSleep: isBoolean,
  throttled: optional(isBoolean),
  last: optional(isLast),
});

const isRun = object<RunTrace>({
  leader: isProcess,
  cgroup: optional(isPath),
  socketFile: optional(isCount),
  container: optional(isCount),
});

const isLog = object<LogTrace>({ logger: optional(isProcess), signature: optional(isText), dropped: isCount });

const FIELDS: Fields<InstanceRecord> = {
  state: isState,
  fingerprint: isText,
  conf: optional(isText),
  accounts: optional(listOf(object<RecordedAccount>({ name: isText, uid: isCount }))),
  exited: optional(isBoolean),
  scale: optional(isCount),
  size: isCount,
  role: oneOf({ active: true, candidate: true, retiring: true }),
  run: optional(isRun),
  log: optional(isLog),
};

export const isInstanceRecord = object(FIELDS);

/** Names of the fields of a record that have a wrong shape. */
export const wrongRecordFields = (value: unknown): string[] => wrongFields(FIELDS, value);
