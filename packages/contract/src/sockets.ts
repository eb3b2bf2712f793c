/** Directory of the control sockets, unless the supervisor's --run-dir names another. */
export const DEFAULT_RUN_DIR = "/run/dmhost";
/** Control socket of one account that the policy names, relative to the run directory. */
export const userSocket = (user: string): string => `users/${user}/command.sock`;
/** Control socket for every other account, relative to the run directory; the kernel names the caller there too. */
export const PUBLIC_SOCKET = "command.sock";
/** Link in an account's home to its control socket, relative to the home. */
export const HOME_SOCKET = ".daemon-manager/command.sock";
