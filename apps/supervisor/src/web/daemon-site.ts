/** The site that a daemon's terms describe. */

import { privateGroup } from "../core/account-groups.ts";
import { byteLength } from "../core/byte-length.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { appOf } from "../core/definition.ts";
import { messageOf } from "../core/error-message.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import { type Site, type SitePath, sitePath } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { writeSize } from "../core/units.ts";
import { docrootRefusal } from "./docroot.ts";
import type { SiteFiles } from "./ports/site-files.ts";

/** In bytes: sun_path of unix(7). Nginx refuses all sites for one that is longer. */
const LONGEST_SOCKET_PATH = 107;

/**
 * Returns the site, or the reason why there is none. Makes the directory of its logs.
 * @param previous the daemon's previous site: its docroot stays accepted while the directory cannot be checked
 */
export const siteOf = (
  { id, key }: { readonly id: string; readonly key: DaemonKey },
  { definition, account }: Terms,
  previous: Site | undefined,
  siteFiles: SiteFiles,
  accounts: AccountBase,
): Site | string => {
  const { owner } = key;
  const { host: hosts, docroot: given, index, maxBody } = definition;
  const app = appOf(definition);
  let logs: SitePath | undefined;
  try {
    logs = sitePath(siteFiles.logDirectory(owner, privateGroup(owner, accounts)));
  } catch (error) {
    return `its log directory cannot be made: ${messageOf(error)}`;
  }
  const socket = sitePath(siteFiles.socketPath(key));
  if (socket && byteLength(socket) > LONGEST_SOCKET_PATH)
    return `the path of its socket, ${socket}, has more than ${writeSize(LONGEST_SOCKET_PATH)}; give the daemon a shorter name`;
  if (!logs || !socket) return "the paths of its logs and socket cannot be written into Nginx's configuration";
  const common = { id, hosts, maxBody, logs };
  if (given === undefined) {
    if (app === "php" || app === "static") return `app=${app} needs a docroot`;
    return { ...common, app, socket, docroot: undefined };
  }
  const docroot = sitePath(given.startsWith("~") ? `${owner.home}${given.slice(1)}` : given);
  if (!docroot) return "its docroot cannot be written into Nginx's configuration";
  try {
    const refusal = docrootRefusal(docroot, owner, account, (path) => siteFiles.ownerOf(account, path));
    if (refusal !== undefined) return refusal;
  } catch (error) {
    if (previous?.docroot !== docroot) return `its docroot ${docroot} cannot be checked: ${messageOf(error)}`;
  }
  if (app === "static") return { ...common, app, docroot, index };
  return app === "php" ? { ...common, app, docroot, socket, index } : { ...common, app, docroot, socket };
};
