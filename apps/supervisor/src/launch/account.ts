/** Becoming an account irreversibly, by setpriv. */
import type { Definition } from "../core/definition.ts";
import type { Account } from "../core/policy-rules.ts";

/** Capabilities for entering a jail: chroot(2), and emptying the bounding set afterwards. */
const JAIL_CAPABILITIES = ",+sys_chroot,+setpcap";

/** Which of root's capabilities a process keeps: those to enter a jail, or all for root's own daemons. */
type Kept = "nothing" | "jail" | "all";

/** Service directories of root are scripts that change the account themselves (man/daemon.conf.5.md#service-directories). */
export const keptBy = ({ chroot, service }: Pick<Definition, "chroot" | "service">): Kept => {
  if (chroot !== undefined) return "jail";
  return service === undefined ? "nothing" : "all";
};

/**
 * Arguments that make the rest of a chain run as an account, with its groups and without a way back.
 * @param privileged false where the supervisor already is that account
 */
export const become = (account: Account, privileged: boolean, keeps: Kept = "nothing"): string[] => {
  if (!privileged) return ["/usr/bin/setpriv", "--no-new-privs", "--"];
  const kept = keeps === "jail" ? JAIL_CAPABILITIES : "";
  return [
    "/usr/bin/setpriv",
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    "--init-groups",
    "--no-new-privs",
    `--inh-caps=-all${kept}`,
    ...(keeps === "jail" ? [`--ambient-caps=-all${kept}`] : []),
    ...(keeps === "all" && account.uid === 0 ? [] : [`--bounding-set=-all${kept}`]),
    "--",
  ];
};
