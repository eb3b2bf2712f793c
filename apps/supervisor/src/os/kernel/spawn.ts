/** Starting and reaping children with exactly the descriptors, session and signals that the caller wants. */
import { closeSync } from "node:fs";
import { duplicate, makeBlocking } from "./descriptors.ts";
import { declare, errnoError } from "./libc.ts";

const c = {
  waitpid: declare("int waitpid(int, _Out_ int *, int)"),
  waitid: declare("int waitid(int, uint32_t, _Out_ void *, int)"),
  posix_spawn: declare("int posix_spawn(_Out_ int *, const char *, void *, void *, const char **, const char **)"),
  actions_init: declare("int posix_spawn_file_actions_init(void *)"),
  actions_destroy: declare("int posix_spawn_file_actions_destroy(void *)"),
  actions_adddup2: declare("int posix_spawn_file_actions_adddup2(void *, int, int)"),
  actions_addopen: declare("int posix_spawn_file_actions_addopen(void *, int, const char *, int, uint32_t)"),
  actions_addchdir: declare("int posix_spawn_file_actions_addchdir_np(void *, const char *)"),
  attr_init: declare("int posix_spawnattr_init(void *)"),
  attr_setflags: declare("int posix_spawnattr_setflags(void *, short)"),
  attr_setsigdefault: declare("int posix_spawnattr_setsigdefault(void *, void *)"),
  attr_setsigmask: declare("int posix_spawnattr_setsigmask(void *, void *)"),
};

const STANDARD_ERROR = 2;
const O_RDWR = 2;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** Room for an opaque struct of the C library; none is larger. */
const opaque = (): Buffer => Buffer.alloc(512);

/** A new session; no signal ignored or blocked. */
const attributes = opaque();
c.attr_init(attributes);
c.attr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
c.attr_setsigdefault(attributes, Buffer.alloc(128, 0xff));
c.attr_setsigmask(attributes, Buffer.alloc(128));

/** A program and its descriptors: the child's number to ours; -1 is /dev/null. */
export interface Spawned {
  readonly file: string;
  readonly argv: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  readonly descriptors: ReadonlyMap<number, number>;
}

/**
 * Starts a program as the leader of a new session, in /; returns its pid. The child shares our memory until exec: fork(2)
 * would copy our page tables, which takes longer than everything else.
 * @throws errno errors; EINVAL for a text with NUL
 */
export const spawnSession = ({ file, argv, environment, descriptors }: Spawned): number => {
  const variables = [...environment].map(([name, value]) => `${name}=${value}`);
  if ([file, ...argv, ...variables].some((text) => text.includes("\0"))) {
    throw Object.assign(new Error("spawn: EINVAL, a text with NUL"), { code: "EINVAL" });
  }
  const copies: number[] = [];
  const highest = Math.max(...descriptors.keys());
  const actions = opaque();
  c.actions_init(actions);
  try {
    for (const [target, source] of descriptors) {
      if (source < 0) {
        c.actions_addopen(actions, target, "/dev/null", O_RDWR, 0);
        continue;
      }
      if (target <= STANDARD_ERROR) makeBlocking(source);
      // An earlier action must not overwrite it.
      const copy = source > highest ? source : duplicate(source, highest + 1);
      if (copy !== source) copies.push(copy);
      c.actions_adddup2(actions, copy, target);
    }
    c.actions_addchdir(actions, "/");
    const pid: [number] = [0];
    const errno = c.posix_spawn(pid, file, actions, attributes, [...argv, null], [...variables, null]);
    if (errno !== 0) throw errnoError("spawn", file, errno);
    return pid[0];
  } finally {
    for (const fd of copies) closeSync(fd);
    c.actions_destroy(actions);
  }
};

const P_ALL = 0;
const P_PID = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
const WNOHANG = 1;

/** Pid of a child that has ended and is not reaped, any or this one; undefined where there is none. */
export const endedChild = (pid?: number): number | undefined => {
  const info = Buffer.alloc(128);
  if (c.waitid(pid === undefined ? P_ALL : P_PID, pid ?? 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) return undefined;
  return info.readInt32LE(16) || undefined;
};

/** How a child ended. */
export type ExitStatus = { readonly code: number } | { readonly signal: number };

/** Reaps a child; undefined when `pid` is no child of ours or has not ended. */
export const reap = (pid: number): ExitStatus | undefined => {
  const status: [number] = [0];
  if (c.waitpid(pid, status, WNOHANG) !== pid) return undefined;
  const signal = status[0] & 0x7f;
  return signal === 0 ? { code: (status[0] >> 8) & 0xff } : { signal };
};
