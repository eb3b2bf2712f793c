/** The policy: questions about it, and its reload. */
import { messageOf } from "../../core/error-message.ts";
import { answerQuestion } from "../policy-question.ts";
import { Refusal } from "../refusal.ts";
import type { PolicyFile, Progress } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

const reload = async (policy: PolicyFile): Promise<string[]> => {
  try {
    return await policy.reloadPolicy();
  } catch (error) {
    const reason = messageOf(error);
    throw new Refusal("invalid-file", "the policy file has errors; the policy in force stays", reason.split("\n"));
  }
};

export const policyRoutes = (policy: PolicyFile & Pick<Progress, "inTurns">): Handlers<"askPolicy" | "rescan"> => ({
  askPolicy: ({ engine, caller, query }) => answerQuestion(engine, policy.policyFile, caller, query),
  async rescan({ engine, caller }) {
    const problems = [0, policy.policyOwner].includes(caller.uid) ? await reload(policy) : [];
    const report = await policy.inTurns(engine.rescanning(engine.policy.manageable(caller.user)));
    return { ...report, problems: [...problems, ...report.problems] };
  },
});
