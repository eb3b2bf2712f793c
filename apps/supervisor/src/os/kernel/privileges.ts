import { readFileSync } from "node:fs";

/** Numbers of capabilities in the kernel. */
const CAP_SETGID = 6n;
const CAP_SETUID = 7n;

const effective = (): bigint => {
  const [, digits = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return BigInt(`0x${digits}`);
};

/** Whether this process can act as other accounts; if not, its own account is the only tenant. */
export const privileged = process.geteuid?.() === 0;

/** Whether this process can take the identity of other accounts for access to files: as root, or by capabilities alone, as the broker. */
export const canActAsOthers =
  privileged || [CAP_SETGID, CAP_SETUID].every((capability) => (effective() & (1n << capability)) !== 0n);
