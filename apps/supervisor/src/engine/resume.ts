/** Continues a daemon from the records of an earlier supervisor. */
import { alive, initial, isServing, type State } from "../core/lifecycle.ts";
import { mayRoll, type Terms } from "../core/terms.ts";
import type { InstanceSet } from "./instance-set.ts";
import type { InstanceRecord } from "./ports/records.ts";
import type { FoundRun } from "./ports/runs.ts";
import type { HeldSocket } from "./ports/sockets.ts";
import type { OpenResources, SharedResources } from "./shared-resources.ts";

/** Whether no other run may replace it: it is the last by request, or paused. */
const stays = ({ once, paused }: State): boolean => once || paused;

/** A run that was launched after its instance's record had been written, or that has none: somebody wanted it. */
const unrecorded = (record: InstanceRecord | undefined, run: number, size: number): InstanceRecord => ({
  fingerprint: "",
  scale: undefined,
  size,
  role: "active",
  log: undefined,
  ...record,
  state: { ...(record?.state ?? initial), ...LAUNCHED, run },
  run: undefined,
  exited: undefined,
});
const LAUNCHED = {
  phase: "starting",
  want: "up",
  block: undefined,
  deadline: undefined,
  stopRequested: false,
} as const;

/**
 * The records of a daemon's instances, completed by the runs that were found: they were launched, whatever the records say.
 * @param size number of instances where no record has it
 */
export const completed = (
  records: ReadonlyMap<number, InstanceRecord>,
  found: readonly FoundRun[],
  size: number,
): ReadonlyMap<number, InstanceRecord> => {
  const all = new Map(records);
  for (const { instance, run, lives } of found) {
    const record = all.get(instance);
    // Its instance was dropped, but its exit not acknowledged.
    if (!lives && !record && records.size > 0) continue;
    if (record && (record.state.run > run || (record.state.run === run && (alive(record.state) || !lives)))) continue;
    all.set(instance, unrecorded(record, run, [...records.values()][0]?.size ?? size));
  }
  return new Map([...all].sort(([a], [b]) => a - b));
};

/** Opens what the recorded runs share. The next start tries again what fails here, and reports the error. */
export const reopenShared = (
  shared: SharedResources,
  records: readonly InstanceRecord[],
  terms: Terms | undefined,
): OpenResources => {
  try {
    if (terms && records.some(({ state }) => alive(state))) return shared.open(terms, () => undefined);
    if (terms) shared.openSockets(terms);
  } catch {
    // The next start reports it.
  }
  return { socket: undefined, bind: undefined, log: undefined };
};

/** What recorded instances continue with. */
interface Surroundings {
  /** Of the daemon; undefined where it must not run. */
  readonly terms: Terms | undefined;
  /** Of a live run, where these are known to be others. */
  readonly termsOf: (record: InstanceRecord) => Terms | undefined;
  readonly resources: OpenResources;
  readonly size: () => number;
}

/** Replaces the instances by the recorded ones. False when none of them stays. */
export const resumeInstances = (
  instances: InstanceSet,
  records: ReadonlyMap<number, InstanceRecord>,
  { terms, termsOf, resources, size }: Surroundings,
): boolean => {
  instances.clear();
  for (const [number, record] of records) {
    const instance = instances.add(number);
    instance.retiring = record.role === "retiring";
    instance.candidate = record.role === "candidate";
    instance.terms = termsOf(record) ?? instance.terms;
    instance.resume(record, resources);
  }
  settleRoles(instances, size());
  const isFound = instances.active().length > 0;
  if (!isFound) instances.add();
  if (terms && resources.socket) replaceCutOff(instances, terms, resources.socket);
  for (const instance of instances.active()) instance.publishAgain();
  instances.even();
  return isFound;
};

/** The earlier supervisor may have ended in the middle of a change: ends retiring instances, and a candidate that exceeds the size. */
const settleRoles = (instances: InstanceSet, size: number): void => {
  for (const instance of instances.all()) {
    if (instance.retiring) instances.dropEnded(instance);
    else if (instance.candidate && instances.active().length > size) instances.dismiss(instance, "drain");
    else if (instance.candidate) instance.prove();
  }
};

/**
 * Runs that listen on a socket that is no longer published are drained and terminated, and others follow as they end: also
 * where it was replaced by an earlier supervisor, which was killed then. One starts at once, whatever still drains: clients may
 * connect to the new socket only while a run serves it.
 */
const replaceCutOff = (instances: InstanceSet, terms: Terms, { isNew, file }: HeldSocket): void => {
  const cutOff = instances
    .active()
    .filter(
      ({ state, run }) => isServing(state) && !stays(state) && (isNew || (run && run.trace?.socketFile !== file)),
    );
  if (!mayRoll(terms)) {
    for (const instance of cutOff) instance.feed({ type: "restart" });
    return;
  }
  const last = cutOff.pop();
  if (last) {
    instances.replace(last).feed({ type: "start" });
    instances.dismiss(last, "drain");
  }
  for (const instance of cutOff) {
    instance.feed({ type: "drain" });
    instance.feed({ type: "start" });
  }
};
