/** How a daemon continues from the records of an earlier supervisor. */
import { alive, type State } from "../core/lifecycle.ts";
import { mayRoll, type Terms } from "../core/terms.ts";
import type { Common } from "./instance.ts";
import type { InstanceSet } from "./instance-set.ts";
import type { InstanceRecord } from "./ports/records.ts";
import type { SharedResources } from "./shared-resources.ts";

const serves = ({ phase }: State): boolean => phase === "starting" || phase === "running";

/** Whether no other run may replace it: it is to be the last, or to stay as it is. */
const stays = ({ once, paused }: State): boolean => once || paused;

const allStay = (records: readonly InstanceRecord[]): boolean => {
  const serving = records.map(({ state }) => state).filter(serves);
  return serving.length > 0 && serving.every(stays);
};

/** Opens what the recorded runs have in common. What cannot be opened now is tried again, and reported, at the next start. */
export const reopenShared = (
  shared: SharedResources,
  records: readonly InstanceRecord[],
  terms: Terms | undefined,
): Common => {
  try {
    if (terms && records.some(({ state }) => alive(state)))
      return shared.open(terms, () => undefined, allStay(records));
    if (terms) shared.openSockets(terms);
  } catch {
    // See above.
  }
  return { socket: undefined, bind: undefined, log: undefined };
};

/**
 * Replaces the instances by the recorded ones. False when none of them is to stay.
 * @param terms what its file says now, if it may run
 */
export const resumeInstances = (
  instances: InstanceSet,
  records: ReadonlyMap<number, InstanceRecord>,
  terms: Terms | undefined,
  common: Common,
  size: () => number,
): boolean => {
  instances.clear();
  for (const [number, record] of records) {
    const instance = instances.add(number);
    instance.retiring = record.role === "retiring";
    instance.candidate = record.role === "candidate";
    instance.resume(record, common);
  }
  settleRoles(instances, size());
  const isFound = instances.active().length > 0;
  if (!isFound) instances.add();
  if (terms && common.socket?.fresh) relieve(instances, terms);
  for (const instance of instances.active()) instance.publishAgain();
  instances.even();
  return isFound;
};

/** An earlier supervisor may have ended in the middle of a change: retiring ones end, and a candidate that is one too many. */
const settleRoles = (instances: InstanceSet, size: number): void => {
  for (const instance of instances.all()) {
    if (instance.retiring) instances.dropEnded(instance);
    else if (instance.candidate && instances.active().length > size) instances.dismiss(instance, "drain");
    else if (instance.candidate) instance.prove();
  }
};

/**
 * Its runs listen on a socket that clients no longer find: others replace them, and they finish their requests. The others
 * start first: clients must find the new socket open at every moment.
 */
const relieve = (instances: InstanceSet, terms: Terms): void => {
  const cutOff = instances.active().filter(({ state }) => serves(state) && !stays(state));
  if (!mayRoll(terms)) {
    for (const instance of cutOff) instance.feed({ type: "restart" });
    return;
  }
  for (const instance of cutOff) instance.retiring = true;
  for (const instance of instances.fit()) instance.feed({ type: "start" });
  for (const instance of cutOff) instances.dismiss(instance, "drain");
};
