/** Access to what is the supervisor's: the policy file, and the directories of sockets, which only that may enter. */
import { asUser } from "../../../supervisor/src/os/accounts/as-user.ts";

const gid = process.getegid?.() ?? 0;

/** Runs synchronous `work` on files as the account of the supervisor; this gives no capability. */
export const asSupervisor = <T>(peer: number, work: () => T extends PromiseLike<unknown> ? never : T): T =>
  asUser({ uid: peer, gid, groups: [] }, work);
