/** Which directories a tenant may have the web server publish. */
import type { Account } from "../core/policy-rules.ts";
import { type SitePath, sitePath } from "../core/site.ts";

/** Uid of the owner of a directory that is no link; a reason in words where there is none. */
export type AskOwner = (path: SitePath) => number | string;

/** The owner of these depends on the process that asks. */
const KERNEL = /^\/(?:proc|sys|dev)(?:\/|$)/;

/**
 * Why a docroot may not be published; undefined where it may: it lies in the home, or is a directory of the owner's or of
 * the account that the daemon runs as. The web server reads more than tenants do: others' logs, and bodies on their way.
 * Nginx checks links on the way to it at each request.
 */
export const docrootRefusal = (
  docroot: SitePath,
  owner: Account,
  account: Account,
  ask: AskOwner,
): string | undefined => {
  if (owner.uid === 0) return undefined;
  if (KERNEL.test(docroot))
    return `its docroot ${docroot} holds no files of an account: expected a directory of ${owner.name}'s`;
  const mine = new Set([owner.uid, account.uid]);
  const home = sitePath(owner.home);
  if (home !== undefined && home !== "/" && `${docroot}/`.startsWith(`${home}/`)) {
    const whose = ask(home);
    if (typeof whose === "number" && mine.has(whose)) return undefined;
  }
  const whose = ask(docroot);
  if (typeof whose === "string") return `its docroot ${docroot}: ${whose}`;
  if (mine.has(whose)) return undefined;
  const names = owner.name === account.name ? owner.name : `${owner.name} or ${account.name}`;
  return `its docroot ${docroot} belongs to uid ${whose}: expected a directory of ${names}, or one in ${owner.home}`;
};
