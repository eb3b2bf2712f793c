/** The policy: questions about it, and its reload. */
import { answerQuestion } from "../policy-question.ts";
import { Refusal } from "../refusal.ts";
import type { Surroundings } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

const reloadPolicy = async (about: Surroundings): Promise<string[]> => {
  try {
    return await about.reloadPolicy();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal("invalid-file", "the policy file has errors; the policy in force stays", reason.split("\n"));
  }
};

export const policyRoutes: Handlers<"askPolicy" | "rescan"> = {
  askPolicy: ({ engine, about, caller, query }) => answerQuestion(engine, about.policyFile, caller, query),
  async rescan({ engine, about, caller }) {
    const problems = [0, about.policyOwner].includes(caller.uid) ? await reloadPolicy(about) : [];
    const report = engine.rescan(engine.policy.manageable(caller.user));
    return { ...report, problems: [...problems, ...report.problems] };
  },
};
