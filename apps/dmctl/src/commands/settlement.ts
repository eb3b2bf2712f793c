import { Failure } from "@dmhost/client";
import { EXIT, type Outcome } from "@dmhost/contract";
import { FAILURES, report } from "../failure.ts";
import { json, oneLine } from "../printable.ts";
import { write } from "../session.ts";
import { outcomeLine } from "../status/render.ts";
import { warn } from "./answer.ts";
import type { Call } from "./command.ts";

/** Requests under way at a time: the supervisor takes a limited number of connections from one user. */
const AT_ONCE = 8;

/** Reason, last line of the log and advice, a line each. */
const refusal = ({ reason, lastLogLine, advice, daemon }: Outcome): Failure => {
  const lines = [
    reason || `"${daemon.id}" is ${daemon.state}`,
    lastLogLine && `it wrote: ${oneLine(lastLogLine)}`,
    advice,
  ];
  return new Failure("failed", lines.filter((line) => line !== "").join("\n"));
};

/**
 * Sends `request` for the daemons of a call side by side, waits until each has settled, and reports on each in the order
 * in which they were named; with --json one document for each that the supervisor answered for. Resolves with the highest
 * exit code.
 */
export const settleAll = async (call: Call, request: (address: string) => Promise<Outcome>): Promise<number> => {
  const { session } = call;
  const asJson = call.given.has("json");
  const settled: PromiseSettledResult<Outcome>[] = [];
  for (let first = 0; first < call.ids.length; first += AT_ONCE) {
    settled.push(
      ...(await Promise.allSettled(call.ids.slice(first, first + AT_ONCE).map((address) => request(address)))),
    );
  }
  let highest: number = EXIT.done;
  const fail = (failure: Failure): Promise<void> => {
    highest = Math.max(highest, FAILURES[failure.code].exit);
    return report(session, failure, asJson);
  };
  for (const result of settled) {
    if (result.status === "rejected") {
      if (!(result.reason instanceof Failure)) throw result.reason;
      await fail(result.reason);
      continue;
    }
    const outcome = result.value;
    await warn(call, outcome.daemon.warnings);
    if (!outcome.ok) await fail(refusal(outcome));
    if (asJson) await write(session.output, json(outcome));
    else if (outcome.ok) await write(session.output, outcomeLine(outcome, call.look));
  }
  return highest;
};
