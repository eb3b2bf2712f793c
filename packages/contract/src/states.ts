/** The states that `dmctl status` shows. */
export const DAEMON_STATES = [
  "stopped",
  "starting",
  "running",
  "stopping",
  "coolingdown",
  "failed",
  "asleep",
  "paused",
  "forbidden",
  "invalid",
] as const;
export type DaemonState = (typeof DAEMON_STATES)[number];
