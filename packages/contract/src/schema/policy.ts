/** GET /v1/policy: what the policy allows. */
import type { Static } from "typebox";
import { POLICY_VERBS, type PolicyVerb } from "../policy-verbs.ts";
import { flag, oneOf, record, request, text } from "./shapes.ts";

const ruling = {
  allowed: flag("Whether the policy allows it."),
  reason: text("Why, in words."),
  source: text(
    '`path:line` of the policy file that grants it; "" when it is refused, or granted without a line (to root).',
  ),
};

export const Ruling = record("What the policy says, and where.", ruling);
export type Ruling = Static<typeof Ruling>;

const VERBS = Object.keys(POLICY_VERBS) as PolicyVerb[];
const question = {
  caller: text("Account that would act.", { maxLength: 64 }),
  verb: oneOf(VERBS, "What it would do."),
  address: text(
    "`<owner>/<name>` of the daemon, which need not exist; for `run-as` the account, for `host` the host name, for `image` the image.",
    { maxLength: 200 },
  ),
};

export const PolicyQuery = request(
  "May `caller` do `verb` to `address`? A caller may ask about themselves and about accounts whose daemons they manage, root about all.",
  question,
);
export type PolicyQuery = Static<typeof PolicyQuery>;

export const PolicyAnswer = record("The question and its answer.", { ...question, ...ruling });
export type PolicyAnswer = Static<typeof PolicyAnswer>;

export const GrantedRight = record("A right that the policy file grants, its groups resolved into accounts.", {
  holder: text("Account that has the right."),
  object: text(
    "`runsAs`: account that daemons of `holder` may run as. `manages`: owner whose daemons `holder` controls. `hosts`: host name " +
      "that daemons of `holder` may claim, or `*.` and a name for all below it. `images`: image that they may use, `NAME:*` for all of " +
      "its versions, `PATH/*` for all below it; or `network=outbound`.",
  ),
  source: text("`path:line` of the policy file."),
});
export type GrantedRight = Static<typeof GrantedRight>;
