import type { DaemonState, DaemonStatus } from "@dmhost/contract";

/** States that only a start by hand ends, whatever the desired state is. */
const GIVEN_UP: readonly DaemonState[] = ["failed", "forbidden", "invalid"];

/**
 * A daemon's status as the line that svstat prints (docs/reference/daemontools.md#control), without a newline. It
 * begins with the daemon's service directory, or else its conf file; `home` is written `~`.
 */
export const svstatLine = (daemon: DaemonStatus, home: string | undefined): string => {
  const path = daemon.configFile.replace(/\/run$/, "");
  const place = home && path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
  const up = daemon.pid !== 0;
  const seconds = Math.floor(up ? daemon.uptime : daemon.downtime);
  const normally = up === daemon.autostart ? "" : `, normally ${up ? "down" : "up"}`;
  const want = GIVEN_UP.includes(daemon.state) ? "down" : daemon.desiredState;
  const wants = want === (up ? "up" : "down") ? "" : `, want ${want}`;
  const paused = daemon.state === "paused" ? ", paused" : "";
  return `${place}: ${up ? `up (pid ${daemon.pid})` : "down"} ${seconds} seconds${normally}${paused}${wants}`;
};
