/** Descriptors that refer to processes (pidfd_open(2)). Each function throws errno errors. */
import { checked, declare } from "./libc.ts";

const c = {
  pidfd_open: declare("int pidfd_open(int, uint32_t)"),
  pidfd_send_signal: declare("int pidfd_send_signal(int, int, void *, uint32_t)"),
};

/** Descriptor that refers to a process and becomes readable when the process ends. */
export const openPidfd = (pid: number): number => checked("pidfd_open", c.pidfd_open(pid, 0), `pid ${pid}`);

/** Sends a signal to the process that `pidfd` refers to. */
export const sendSignal = (pidfd: number, signal: number): void => {
  checked("pidfd_send_signal", c.pidfd_send_signal(pidfd, signal, null, 0));
};
