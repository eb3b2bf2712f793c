/** What an owner learns of a host. */
import type { Hostname } from "../core/hostname.ts";
import type { Account } from "../core/policy-rules.ts";
import type { HostStanding, Site } from "../core/site.ts";
import type { Prospect } from "./prospects.ts";
import { renderSite, siteLog } from "./vhost.ts";

/** What is known of the sites in force. */
export interface Progress {
  isServed(text: string): boolean;
  refusalOf(text: string): string | undefined;
  readonly trouble: { readonly kind: "refused" | "failed"; readonly reason: string } | undefined;
}

/** Why an owner cannot read the logs of their sites. */
export const logTroubleOf = ({ name, gid }: Account): string =>
  `${name} cannot read the logs of their sites: other accounts are in their primary group (${gid}), too, ` +
  "and must not read them; root gives them a primary group of their own (usermod --gid)";

/** Why a host that may be published is not. */
const obstacle = (host: Hostname, text: string, progress: Progress): Pick<HostStanding, "state" | "reason"> => {
  const { trouble } = progress;
  const complaint = progress.refusalOf(text);
  if (complaint !== undefined)
    return { state: "refused", reason: `host ${host}: the web server refuses this site: ${complaint}` };
  if (!trouble) return { state: "pending", reason: "the web server does not serve it yet" };
  if (trouble.kind === "failed")
    return { state: "pending", reason: `the web server does not serve it yet: ${trouble.reason}` };
  // The complaint may be about another owner's site.
  const where = "root finds why in the supervisor's log";
  return { state: "refused", reason: `host ${host}: the web server refuses its configuration; ${where}` };
};

/**
 * How each host of a daemon stands.
 * @param published its site with the hosts that are its own
 * @param logTrouble why the owner cannot read the logs; "" where they can
 * @param port at which clients reach the web server
 */
export const standingsOf = (
  { hosts, refused }: Pick<Prospect, "hosts" | "refused">,
  published: Site | undefined,
  progress: Progress,
  logTrouble: string,
  port: number,
): readonly HostStanding[] => {
  const text = published ? renderSite(published) : "";
  return hosts.map((name): HostStanding => {
    const url = `http://${name}${port === 80 ? "" : `:${port}`}/`;
    const reason = refused.get(name);
    if (reason !== undefined || !published)
      return { name, state: "refused", reason: reason ?? "", url, logs: undefined };
    const logs = {
      access: siteLog(published.logs, name, "access"),
      error: siteLog(published.logs, name, "error"),
      trouble: logTrouble,
    };
    if (progress.isServed(text)) return { name, state: "published", reason: "", url, logs };
    return { name, ...obstacle(name, text, progress), url, logs };
  });
};
