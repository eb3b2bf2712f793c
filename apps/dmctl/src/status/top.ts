/** `dmctl top`: once into a pipe, again and again on a terminal. */
import { setTimeout } from "node:timers/promises";
import type { Client } from "@dmhost/client";
import type { DaemonStatus } from "@dmhost/contract";
import { allDaemons } from "../all-daemons.ts";
import { type Session, write } from "../session.ts";
import { type Sample, topTable } from "./usage.ts";

/** Time between two tables, in ms. */
const PAUSE = 2000;
/** Moves the cursor home and erases behind the text: clearing the screen first would flicker. */
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_REST = "\u001b[J";

const samplesOf = (daemons: readonly DaemonStatus[], at: number): ReadonlyMap<string, Sample> =>
  new Map(daemons.flatMap(({ id, usage, pid }) => (usage?.cpu ? [[id, { cpu: usage.cpu, at, pid }] as const] : [])));

/** Shows the table, on a terminal until `signal`. */
export const showTop = async (client: Client, session: Session, signal?: AbortSignal): Promise<void> => {
  if (!session.terminal) {
    await write(session.output, topTable(await allDaemons(client, true)));
    return;
  }
  let before: ReadonlyMap<string, Sample> = new Map();
  await write(session.output, "\u001b[2J");
  while (!signal?.aborted) {
    const daemons = await allDaemons(client, true);
    const now = performance.now();
    const lines = topTable(daemons, before, now).replaceAll("\n", `${CLEAR_LINE}\n`);
    await write(session.output, `${HOME}${lines}${CLEAR_REST}`);
    before = samplesOf(daemons, now);
    await setTimeout(PAUSE, undefined, { ...(signal && { signal }) }).catch(() => undefined);
  }
};
