/** The verbs of a query to the policy, and the right that each needs. */
export const POLICY_VERBS = {
  status: "manage",
  explain: "manage",
  start: "manage",
  stop: "manage",
  restart: "manage",
  once: "manage",
  pause: "manage",
  continue: "manage",
  exit: "manage",
  scale: "manage",
  kill: "manage",
  log: "manage",
  tail: "manage",
  pid: "manage",
  logfile: "manage",
  configfile: "manage",
  edit: "write",
  "run-as": "run-as",
  host: "host",
  image: "image",
} as const satisfies Record<string, "manage" | "write" | "run-as" | "host" | "image">;
export type PolicyVerb = keyof typeof POLICY_VERBS;
