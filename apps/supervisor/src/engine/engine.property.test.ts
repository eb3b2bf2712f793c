import fc from "fast-check";
import { expect, test } from "vitest";
import { type Act, actOf } from "./acts.fake.ts";
import { Play } from "./play.fake.ts";

/** Number of plays. More of them find rarer defects. */
const RUNS = Number(process.env["DMHOST_PLAYS"] ?? 1500);
/** Longer than every timeout and back-off that an act can cause, in ms. */
const LONG = 300_000;

const play = async (acts: readonly Act[], limited: boolean): Promise<void> => {
  const scene = new Play(limited);
  for (const act of acts) {
    await scene.perform(act);
    await scene.check();
  }
  await scene.calmDown(LONG);
  await scene.check();
  scene.checkCalm();
  await scene.shutDown();
};

test("no sequence of requests, events and faults starts two runs of an instance, leaks one, or loses a desired state", async () => {
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(
      fc.array(actOf, { minLength: 1, maxLength: 40, size: "max" }),
      fc.constantFrom(true, true, false),
      play,
    ),
    {
      numRuns: RUNS,
    },
  );
}, 600_000);
