/** Random requests, events and faults: what holds at every moment, and what holds once nothing more happens. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Act, actOf, Play } from "./play.fake.ts";

const SECONDS = 300_000;

const run = async (acts: readonly Act[]): Promise<void> => {
  const play = new Play();
  for (const act of acts) {
    await play.perform(act);
    play.check();
  }
  await play.calmDown(SECONDS);
  play.check();
  play.checkCalm();
  await play.shutDown();
};

test("no random sequence of requests, events and faults starts two runs of an instance or loses a desired state", async () => {
  await fc.assert(fc.asyncProperty(fc.array(actOf, { minLength: 1, maxLength: 40 }), run), {
    numRuns: Number(process.env["ENGINE_RUNS"] ?? 300),
    ...(process.env["ENGINE_SEED"] && { seed: Number(process.env["ENGINE_SEED"]) }),
  });
  expect.hasAssertions();
});
