/** Answers about what the policy allows, to those who may ask. Unknown and forbidden answer alike. */
import { POLICY_VERBS, type PolicyAnswer, type PolicyVerb } from "@dmhost/contract";
import { NAME } from "../core/definition.ts";
import { hostname } from "../core/hostname.ts";
import type { Policy, Verdict } from "../core/policy.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import type { Caller } from "./access.ts";
import { ruling } from "./explanation.ts";
import { Refusal } from "./problem.ts";

/** What is asked: may `caller` do `verb` to `address`? */
export interface Question {
  readonly caller: string;
  readonly verb: PolicyVerb;
  readonly address: string;
}

/** The verbs that can be asked about. */
export const QUESTION_VERBS = Object.keys(POLICY_VERBS) as PolicyVerb[];

/**
 * Answers a question about the policy.
 * @throws Refusal not-found for a caller about whom `asker` may not ask, usage for an ill-formed address
 */
export const answerQuestion = (
  supervisor: Supervisor,
  policyFile: string,
  asker: Caller,
  question: Question,
): PolicyAnswer => {
  const { policy } = supervisor;
  const isRoot = asker.uid === 0;
  const mine = policy.manageable(asker.user);
  if (!isRoot && question.caller !== asker.user && !mine.includes(question.caller)) {
    throw new Refusal(
      "not-found",
      `There is nobody called ${JSON.stringify(question.caller)} about whom ${asker.user} may ask.\nAsk about yourself or about somebody whose daemons you manage; root may ask about everybody.`,
    );
  }
  const right = POLICY_VERBS[question.verb];
  const object = right === "run-as" || right === "host" ? question.address : ownerIn(question.address);
  const verdict = judge(policy, right, question.caller, object);
  // Why something is refused would tell who there is, and who runs daemons.
  const tells = verdict.allowed || isRoot || right === "run-as" || right === "host" || mine.includes(object);
  return { ...question, ...ruling(tells ? verdict : veiled(question.caller, object), policyFile) };
};

type Right = (typeof POLICY_VERBS)[PolicyVerb];

const judge = (policy: Policy, right: Right, caller: string, object: string): Verdict => {
  if (right === "host") {
    const host = hostname(object);
    if (host !== undefined) return policy.mayHost(caller, host);
    throw new Refusal("usage", `${JSON.stringify(object)} is no host name; write one such as blog.example.org.`);
  }
  if (right === "run-as") return policy.mayRunAs(caller, object);
  return right === "write" ? policy.mayWrite(caller, object) : policy.mayManage(caller, object);
};

const veiled = (caller: string, owner: string): Verdict => ({
  allowed: false,
  line: undefined,
  because: `no line of [manages] lets ${caller} manage the daemons of ${owner}`,
});

const ownerIn = (address: string): string => {
  const [owner = "", name = "", ...more] = address.split("/");
  if (more.length === 0 && NAME.test(owner) && NAME.test(name)) return owner;
  throw new Refusal("usage", `${JSON.stringify(address)} is no daemon's full name; write it owner/name.`);
};
