/** The states that `dmctl status` shows, each with its meaning in sentences of Markdown. */
export const STATE_MEANINGS = {
  stopped: "It does not run, and its desired state is down.",
  starting: "Its process is being launched, waits for its `lock`, or is not ready yet.",
  running: "It runs.",
  stopping: "A stop was requested, and some of its processes are left.",
  coolingdown:
    "It waits for its next start: it failed, or its owner has no restart left in this minute. The column `cooldown` shows how long.",
  failed:
    "It failed more often in a row than its `max-retries` allows, or ended with exit code 100, or its `finish` with 125. " +
    "It stays down until it is started by hand.",
  asleep: "It has no process; the next connection to its socket starts one (`ondemand=yes`).",
  paused: "It runs, but its processes are suspended by SIGSTOP.",
  forbidden: "The policy does not permit it to run, or not as the account that it names.",
  invalid: "Its file has an error.",
} as const;

export type DaemonState = keyof typeof STATE_MEANINGS;

/** The names of the states. */
export const DAEMON_STATES = Object.keys(STATE_MEANINGS) as readonly DaemonState[];
