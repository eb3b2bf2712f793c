/** What the kernel lets this process do as other accounts. */
import { readFileSync } from "node:fs";

/** Whether this process is root; if not, the supervisor's own account is the only tenant. */
export const privileged = process.geteuid?.() === 0;

/** Bits of CAP_SETGID and CAP_SETUID in a capability set. */
const SETGID_SETUID = 0b11n << 6n;

/** Whether a process has the capabilities that taking another account's ids needs. @param status text of /proc/PID/status */
export const hasIdCapabilities = (status: string): boolean => {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${effective}`) & SETGID_SETUID) === SETGID_SETUID;
};

const ownStatus = (): string => {
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    return "";
  }
};

/** Whether this process can access files as another account: root, and the broker, which has no more than these two capabilities. */
export const canActAsOthers = privileged || hasIdCapabilities(ownStatus());
