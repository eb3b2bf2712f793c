/** The C library: declares its functions for the files beside this one, and turns errno into errors. */
import { constants } from "node:os";
import koffi from "koffi";

const library = koffi.load("libc.so.6");

/**
 * A function of the C library.
 * @param declaration as in C; `_Out_` and `_Inout_` mark what the function writes
 */
export const declare = (declaration: string): ReturnType<typeof library.func> => library.func(declaration);

/** The function syscall(2) for one set of arguments: it changes the calling thread alone where libc changes all threads. */
export const declareSystemCall = (...parameters: string[]): ReturnType<typeof library.func> =>
  library.func("syscall", "long", ["long", ...parameters]);

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
// The other name of the same number is EWOULDBLOCK.
errnoNames.set(constants.errno.EAGAIN, "EAGAIN");

/** Name of an errno value, by default of the last call's, e.g. `ENOENT`. */
export const errnoName = (errno = koffi.errno()): string => errnoNames.get(errno) ?? `errno ${errno}`;

/** An errno error shaped like Node's own. @param subject what the call was about; "" for nothing in particular */
export const errnoError = (call: string, subject: string, errno = koffi.errno()): NodeJS.ErrnoException => {
  const code = errnoName(errno);
  const error: NodeJS.ErrnoException = new Error(`${call}: ${code}${subject === "" ? "" : `, ${subject}`}`);
  error.code = code;
  error.errno = errno;
  error.syscall = call;
  return error;
};

/** The result of a call. @throws errno errors for a negative one */
export const checked = (call: string, result: number, subject = ""): number => {
  if (result < 0) throw errnoError(call, subject);
  return result;
};
