/** The status of a host, as its owner sees it. */
import type { Hostname } from "../core/hostname.ts";
import type { Account } from "../core/policy-rules.ts";
import type { PublicationStatus, SitePath } from "../core/site.ts";
import type { SiteRequest } from "./site-requests.ts";
import { siteLog } from "./vhost.ts";

/** Which sites are in force, which were refused, and why others wait. */
export interface DeploymentStatus {
  isServed(text: string): boolean;
  refusalOf(text: string): string | undefined;
  readonly problem: { readonly kind: "refused" | "failed"; readonly reason: string } | undefined;
}

/** Message to an owner who cannot read the logs of their sites. */
export const logProblemOf = ({ name, gid }: Account): string =>
  `${name} cannot read the logs of their sites: their primary group (${gid}) has other members, ` +
  "who must not read them; root can give each account a separate primary group (usermod --gid)";

/** State and reason of a host that may be published and is not. */
const unpublishedState = (
  host: Hostname,
  text: string,
  status: DeploymentStatus,
): Pick<PublicationStatus, "state" | "reason"> => {
  const { problem } = status;
  const complaint = status.refusalOf(text);
  if (complaint !== undefined)
    return { state: "refused", reason: `host ${host}: the web server refuses this site: ${complaint}` };
  if (!problem) return { state: "pending", reason: "the web server does not serve it yet" };
  if (problem.kind === "failed")
    return { state: "pending", reason: `the web server does not serve it yet: ${problem.reason}` };
  // The complaint may be about another owner's site.
  const where = "the supervisor's log, which root can read, has the reason";
  return { state: "refused", reason: `host ${host}: the web server refuses its configuration; ${where}` };
};

/**
 * The status of each host of a daemon.
 * @param published its site: the text of the vhosts and the directory of the logs; undefined where it has none
 * @param logProblem why the owner cannot read the logs; "" where they can
 * @param port port at which clients reach the web server
 */
export const hostStatusesOf = (
  { hosts, refused }: Pick<SiteRequest, "hosts" | "refused">,
  published: { readonly text: string; readonly logs: SitePath } | undefined,
  status: DeploymentStatus,
  logProblem: string,
  port: number,
): readonly PublicationStatus[] => {
  return hosts.map((name): PublicationStatus => {
    const url = `http://${name}${port === 80 ? "" : `:${port}`}/`;
    const reason = refused.get(name);
    if (reason !== undefined || !published)
      return { name, state: "refused", reason: reason ?? "", url, logs: undefined };
    const logs = {
      access: siteLog(published.logs, name, "access"),
      error: siteLog(published.logs, name, "error"),
      problem: logProblem,
    };
    if (status.isServed(published.text)) return { name, state: "published", reason: "", url, logs };
    return { name, ...unpublishedState(name, published.text, status), url, logs };
  });
};
