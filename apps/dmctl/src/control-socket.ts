/** Which socket dmctl connects to, and whether it may be trusted (docs/explanation/security.md#13). */
import { existsSync, readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { brokeOff, type Client, clientAt, Failure, isCrowded, nothingListens, type UnixFetch } from "@dmhost/client";
import {
  DEFAULT_RUN_DIR,
  type EndpointName,
  HOME_SOCKET,
  isIdempotent,
  PUBLIC_SOCKET,
  userSocket,
} from "@dmhost/contract";

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** How long requests are sent again while a supervisor is being replaced. In ms. */
export const PATIENCE = 3000;
/** Interval between two tries. In ms. */
const PAUSE = 50;

/** Name and home of an account; undefined for a uid without one. */
export const accountOf = (uid: number): { readonly name: string; readonly home: string } | undefined => {
  try {
    // The file first: Bun's userInfo() believes the environment's USER.
    for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
      const [name, , id, , , home] = line.split(":");
      if (name && home && id === String(uid)) return { name, home };
    }
    const info = userInfo();
    return info.uid === uid ? { name: info.username, home: info.homedir } : undefined;
  } catch {
    return undefined;
  }
};

/** Paths of a supervisor's socket, in the order in which they are tried. `runDir` is the contract's unless a test has its own. */
export const candidates = (
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
  runDir: string = DEFAULT_RUN_DIR,
): string[] => {
  const named = env["DMCTL_SOCKET"];
  if (named) return [named];
  const account = accountOf(uid);
  const home = isAbsolute(env["HOME"] ?? "") ? env["HOME"] : account?.home;
  return [
    ...(home === undefined ? [] : [join(home, HOME_SOCKET)]),
    ...(account === undefined || account.name.includes("/") ? [] : [join(runDir, userSocket(account.name))]),
    join(runDir, PUBLIC_SOCKET),
  ];
};

const realPathIfAny = (path: string): string | undefined => {
  try {
    return realpathSync(path);
  } catch {
    // Missing, dangling, or in another's home after su or sudo: there is no supervisor for this caller here.
    return undefined;
  }
};

/** Why an account other than root and `uid` could have made `path`, which is free of symlinks; undefined if not. */
const distrust = (path: string, socket: Stats, uid: number): string | undefined => {
  const foreign = (stats: Stats): boolean => stats.uid !== 0 && stats.uid !== uid;
  if (foreign(socket)) return `it belongs to uid ${socket.uid}, not to root or you`;
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const stats = statSync(dir);
    if (foreign(stats)) return `its directory ${dir} belongs to uid ${stats.uid}, not to root or you`;
    if ((stats.mode & WRITABLE_BY_OTHERS) !== 0 && (stats.mode & STICKY) === 0) {
      return `its directory ${dir} can be written by others (mode ${(stats.mode & 0o7777).toString(8)})`;
    }
    if (dir === "/") return undefined;
  }
};

/**
 * Paths of the sockets to try, free of symlinks; the next is requested when nothing listens at the one before. Throws a
 * Failure at a file that is no socket or not to be trusted (exit 3), and after the last (exit 4). Of a path in DMCTL_SOCKET
 * only the type is checked.
 */
function* trustedSockets(
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
  places: readonly string[],
): Generator<string, never> {
  const silent: string[] = [];
  const missing: string[] = [];
  for (const place of places) {
    const path = realPathIfAny(place);
    const stats = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (path === undefined || stats === undefined) {
      missing.push(place);
      continue;
    }
    const named = path === place ? place : `${place} (${path})`;
    if (!stats.isSocket()) throw new Failure("permission-denied", `cannot use ${named}: it is not a socket`);
    const reason = env["DMCTL_SOCKET"] ? undefined : distrust(path, stats, uid);
    if (reason !== undefined) {
      throw new Failure(
        "permission-denied",
        `will not connect to ${named}: ${reason}\nif it is a supervisor's, set DMCTL_SOCKET to it`,
      );
    }
    yield path;
    silent.push(named);
  }
  const tried = [
    ...(silent.length === 0 ? [] : [`nothing listens at ${silent.join(", ")}`]),
    ...(missing.length === 0 ? [] : [`there is no socket at ${missing.join(", ")}`]),
  ];
  const start = uid === 0 ? 'start one with "./dmhost up"' : "ask the administrator of this machine to start it";
  const remedy = env["DMCTL_SOCKET"] ? "unset DMCTL_SOCKET" : "set DMCTL_SOCKET to its socket";
  throw new NoSupervisor("unreachable", `no supervisor: ${tried.join("; ")}\n${start}, or ${remedy}`);
}

/** No supervisor listens at any of the sockets. */
class NoSupervisor extends Failure {}

/** Whether a supervisor may be about to listen at one of these paths: its directory is there. */
const mayReturn = (places: readonly string[]): boolean => places.some((place) => existsSync(dirname(place)));

/** Whether the request may be sent again: it was not carried out, or has no further effect. */
const isRepeatable = (name: EndpointName, error: unknown): boolean =>
  error instanceof NoSupervisor ||
  isCrowded(error) ||
  (error instanceof Failure && error.code === "stopping") ||
  (brokeOff(error) && isIdempotent(name));

/**
 * A client of the supervisor that listens at the first of `places`. Sockets are looked for at each request.
 * @param patience how long a request is sent again from its first failure on, in ms. getHealth is sent once: it asks
 * whether a supervisor answers now
 */
export const supervisorClient = (
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
  fetch: UnixFetch,
  patience: number,
  places: readonly string[] = candidates(env, uid),
): Client => {
  const atFirst = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const sockets = trustedSockets(env, uid, places);
    for (;;) {
      try {
        return await work(clientAt(sockets.next().value, fetch));
      } catch (error) {
        if (!nothingListens(error)) throw error;
      }
    }
  };
  const patiently = async <T>(name: EndpointName, work: (client: Client) => Promise<T>): Promise<T> => {
    let end = Number.NaN;
    for (;;) {
      try {
        return await atFirst(work);
      } catch (error) {
        const now = performance.now();
        if (Number.isNaN(end)) end = name === "getHealth" ? now : now + patience;
        if (now >= end || !isRepeatable(name, error)) throw error;
        if (error instanceof NoSupervisor && !mayReturn(places)) throw error;
      }
      await sleep(PAUSE);
    }
  };
  return {
    call: (name, ...input) => patiently(name, (client) => client.call(name, ...input)),
    stream: (name, input, signal) => patiently(name, (client) => client.stream(name, input, signal)),
  };
};
