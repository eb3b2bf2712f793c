/** The version of the protocol. `hello` names the one of the supervisor. */
export const BROKER_VERSION = 1;

/** Longest line of the supervisor, in bytes with its newline. */
export const LONGEST_LINE = 65_536;

/** Longest line of the broker: a list of all containers is one line. */
export const LONGEST_ANSWER = 4 << 20;

/** Requests without an answer: of one connection, and those that name one owner. One more is answered `busy`. */
export const MOST_REQUESTS = 64;
export const MOST_REQUESTS_OF_OWNER = 16;

/** Pulls at a time: all, of one owner, and those of one owner that wait. One more is answered `busy`. */
export const MOST_PULLS = 2;
export const MOST_PULLS_OF_OWNER = 1;
export const MOST_WAITING_PULLS = 4;

/** Directory of the container that `guest` is bound to, and the socket in it. */
export const GUEST_DIRECTORY = "/run/dmhost";
export const GUEST_SOCKET = "shim.sock";
