/** Paths as conf files write them. */
import type { Account } from "./policy-rules.ts";

/** Path with a leading `~/` resolved to the owner's home. */
export const inHome = (path: string, owner: Pick<Account, "home">): string =>
  path === "~" ? owner.home : path.startsWith("~/") ? `${owner.home}/${path.slice(2)}` : path;

/** Path of the directory that `chroot=` names, without a / at its end. */
export const jailPath = (chroot: string, owner: Pick<Account, "home">): string =>
  inHome(chroot, owner).replace(/(?<=.)\/+$/, "");
