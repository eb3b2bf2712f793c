/** Which directories a tenant may publish. */
import type { Account } from "../core/policy-rules.ts";
import { type SitePath, sitePath } from "../core/site.ts";

/** Returns the uid of the owner of a directory that is not a link, or the reason why there is none. */
type OwnerLookup = (path: SitePath) => number | string;

/** File systems whose owners depend on the process that looks. */
const KERNEL = /^\/(?:proc|sys|dev)(?:\/|$)/;

/**
 * Why a docroot may not be published; undefined where it may: it lies in the home, or is a directory of the owner's or of
 * the run-as account. The web server can read more than tenants can: others' logs, and request bodies.
 * Nginx checks links in its path at each request.
 */
export const docrootRefusal = (
  docroot: SitePath,
  owner: Account,
  account: Account,
  ask: OwnerLookup,
): string | undefined => {
  if (owner.uid === 0) return undefined;
  if (KERNEL.test(docroot))
    return `its docroot ${docroot} is on a kernel file system: expected a directory of ${owner.name}'s`;
  const mine = new Set([owner.uid, account.uid]);
  const home = sitePath(owner.home);
  if (home !== undefined && `${docroot}/`.startsWith(`${home}/`)) {
    const whose = ask(home);
    if (typeof whose === "number" && mine.has(whose)) return undefined;
  }
  const whose = ask(docroot);
  if (typeof whose === "string") return `its docroot ${docroot}: ${whose}`;
  if (mine.has(whose)) return undefined;
  const names = owner.name === account.name ? owner.name : `${owner.name} or ${account.name}`;
  return `its docroot ${docroot} belongs to uid ${whose}: expected a directory of ${names}, or one in ${owner.home}`;
};
