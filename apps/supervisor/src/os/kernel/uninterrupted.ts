import { codeOf } from "./error-code.ts";

/**
 * Repeats a system call that a signal interrupts. libuv repeats all calls but reads, and the kernel none on a socket with a
 * time limit (signal(7)).
 */
export const uninterrupted = <T>(call: () => T): T => {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (codeOf(error) !== "EINTR") throw error;
    }
  }
};
