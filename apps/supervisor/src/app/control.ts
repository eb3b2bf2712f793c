/** The control sockets: one for each user that the policy names, and one for everybody. */
import { join } from "node:path";
import { HOME_SOCKET, PUBLIC_SOCKET, userSocket } from "@dmhost/contract";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { attachCaller, busyAnswer } from "../api/connection.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import { CallerNames } from "../os/accounts/caller-names.ts";
import type { KnownAccounts } from "../os/accounts/known-accounts.ts";
import { privileged } from "../os/kernel/privileges.ts";
import { ControlSockets, linkFromHome, MOST_CONNECTIONS } from "../os/sockets/control-socket.ts";
import { pace } from "./pace.ts";

export interface Control {
  /** Opens the sockets of the policy in force, and closes all others. */
  open(): Promise<void>;
  close(): void;
}

/** @param api handles the connections */
export const controlSockets = (
  runDir: string,
  supervisor: Pick<Supervisor, "policy">,
  accounts: KnownAccounts,
  api: Pick<FastifyInstance, "server">,
  log: Pick<Logger, "warn">,
): Control => {
  const callers = new CallerNames();
  const sockets = new ControlSockets((socket, uid) => {
    const caller = {
      uid,
      get user() {
        return callers.nameOf(uid, accounts.base);
      },
    };
    attachCaller(socket, caller);
    api.server.emit("connection", socket);
  }, busyAnswer(MOST_CONNECTIONS));
  return {
    open: async () => {
      const paths = new Set([join(runDir, PUBLIC_SOCKET)]);
      await sockets.open(join(runDir, PUBLIC_SOCKET), undefined);
      const pause = pace();
      for (const account of accounts.base.users.values()) {
        if (!supervisor.policy.known(account.name)) continue;
        if (!privileged && account.uid !== process.geteuid?.()) continue;
        const path = join(runDir, userSocket(account.name));
        paths.add(path);
        await pause();
        await sockets.open(path, account);
        // Root's dmctl looks in the run directory; a link in its home would change with each further supervisor.
        if (account.uid === 0) continue;
        try {
          linkFromHome(account, accounts.identity(account), HOME_SOCKET, path);
        } catch (error) {
          log.warn({ owner: account.name, err: error }, "no link to the control socket in the user's home");
        }
      }
      sockets.keep(paths);
    },
    close: () => sockets.keep(new Set()),
  };
};
