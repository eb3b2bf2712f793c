import { EXIT, type Outcome, type ScaleRequest } from "@dmhost/contract";
import { apiPath, type Client } from "./client.ts";
import { Failure } from "./failure.ts";
import { json, oneLine } from "./printable.ts";
import { failureText, type Look, outcomeLine } from "./render.ts";
import { type Session, write } from "./session.ts";

/** What failed and why, what it said last, what to do: a line each. */
const refusalMessage = ({ reason, lastLogLine, advice, daemon }: Outcome): string =>
  [reason || `"${daemon.id}" is ${daemon.state}`, lastLogLine && `it wrote: ${oneLine(lastLogLine)}`, advice]
    .filter((line) => line !== "")
    .join("\n");

/** What can be asked of several daemons, and is answered when they have settled. */
export type Verb = "start" | "once" | "stop" | "restart" | "pause" | "continue" | "exit" | "scale";

/** Requests under way at a time: the supervisor takes a limited number of connections from one user. */
const AT_ONCE = 8;

/** What is to be known of a command line for it. */
export interface Request {
  readonly ids: readonly string[];
  /** Options. */
  readonly given: { has(option: string): boolean };
  readonly client: Client;
  readonly session: Session;
  readonly look: Look;
}

/**
 * Asks `verb` of the daemons of a call side by side, waits until each has settled, and tells of each in the
 * order in which they were named. With --json, one document for each that the supervisor took on. The exit code is
 * the gravest of them.
 */
export const settleAll = async (call: Request, verb: Verb, body?: ScaleRequest): Promise<number> => {
  const { session, client } = call;
  const settle = (id: string): Promise<Outcome> =>
    client.ask<Outcome>({ method: "POST", path: apiPath("daemons", id, verb), settles: true, ...(body && { body }) });
  const settled: PromiseSettledResult<Outcome>[] = [];
  for (let first = 0; first < call.ids.length; first += AT_ONCE) {
    settled.push(...(await Promise.allSettled(call.ids.slice(first, first + AT_ONCE).map(settle))));
  }
  let gravest: number = EXIT.done;
  for (const result of settled) {
    if (result.status === "rejected") {
      if (!(result.reason instanceof Failure)) throw result.reason;
      gravest = Math.max(gravest, result.reason.exit);
      await write(session.errors, failureText(result.reason));
      continue;
    }
    const outcome = result.value;
    gravest = Math.max(gravest, outcome.ok ? EXIT.done : EXIT.failed);
    const warnings = outcome.daemon.warnings.map((warning) => `warning: ${oneLine(warning)}\n`);
    const refusal = outcome.ok ? "" : failureText(new Failure(EXIT.failed, refusalMessage(outcome)));
    await write(session.errors, `${warnings.join("")}${refusal}`);
    if (call.given.has("json")) await write(session.output, json(outcome));
    else if (outcome.ok) await write(session.output, outcomeLine(outcome, call.look));
  }
  return gravest;
};
