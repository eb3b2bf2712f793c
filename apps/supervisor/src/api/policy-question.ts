/** Answers questions about the policy. Accounts that the caller may not ask about are answered like unknown ones. */
import { POLICY_VERBS, type PolicyAnswer, type PolicyQuery, type PolicyVerb } from "@dmhost/contract";
import { NAME } from "../core/definition.ts";
import { hostname } from "../core/hostname.ts";
import { imageName } from "../core/image.ts";
import type { Policy, PolicyDecision } from "../core/policy.ts";
import type { Caller } from "./connection.ts";
import type { Engine } from "./engine.ts";
import { ruling } from "./explanation.ts";
import { Refusal } from "./refusal.ts";

/**
 * Answers a question about the policy.
 * @throws Refusal not-found for a caller that `asker` may not ask about, usage for an ill-formed address
 */
export const answerQuestion = (
  { policy }: Pick<Engine, "policy">,
  policyFile: string,
  asker: Caller,
  question: PolicyQuery,
): PolicyAnswer => {
  const isRoot = asker.uid === 0;
  const mine = policy.manageable(asker.user);
  if (!isRoot && question.caller !== asker.user && !mine.includes(question.caller)) {
    throw new Refusal(
      "not-found",
      `there is no account ${JSON.stringify(question.caller)} that ${asker.user} may query the policy about\nname yourself or an owner whose daemons you manage; root may name every account`,
    );
  }
  const right = POLICY_VERBS[question.verb];
  const object = ABOUT_CALLER.has(right) ? question.address : ownerIn(question.address);
  const verdict = verdictOf(policy, right, question.caller, object);
  // The reason of a refusal would reveal which accounts exist and run daemons.
  const reveals = verdict.allowed || isRoot || ABOUT_CALLER.has(right) || mine.includes(object);
  return { ...question, ...ruling(reveals ? verdict : unspecific(question.caller, object), policyFile) };
};

type Right = (typeof POLICY_VERBS)[PolicyVerb];

/** Rights that are about no other owner. */
const ABOUT_CALLER: ReadonlySet<Right> = new Set(["run-as", "host", "image"]);

const verdictOf = (policy: Policy, right: Right, caller: string, object: string): PolicyDecision => {
  if (right === "host") {
    const host = hostname(object);
    if (host !== undefined) return policy.mayHost(caller, host);
    throw new Refusal("usage", `${JSON.stringify(object)} is not a host name; write one such as blog.example.org`);
  }
  if (right === "image") {
    const image = imageName(object);
    if (image !== undefined) return policy.mayUseImage(caller, image);
    throw new Refusal("usage", `${JSON.stringify(object)} names no image; write one such as php:8.4-fpm`);
  }
  if (right === "run-as") return policy.mayRunAs(caller, object);
  return right === "write" ? policy.mayWrite(caller, object) : policy.mayManage(caller, object);
};

const unspecific = (caller: string, owner: string): PolicyDecision => ({
  allowed: false,
  line: undefined,
  because: `no line of [manages] lets ${caller} manage the daemons of ${owner}`,
});

const ownerIn = (address: string): string => {
  const [owner = "", name = "", ...more] = address.split("/");
  if (more.length === 0 && NAME.test(owner) && NAME.test(name)) return owner;
  throw new Refusal("usage", `${JSON.stringify(address)} is not a daemon's full name; write owner/name`);
};
