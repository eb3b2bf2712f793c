/** Numbers for files that sockets are bound to. */
import { privileged } from "./privileges.ts";

/**
 * One number for a file: inodes repeat on different file systems. Without root's powers it is the inode alone, because on
 * some disks sock_diag(7) names another device than stat(2).
 */
export const fileNumber = ({ ino, dev }: { readonly ino: number; readonly dev: number }): number =>
  numberOf(ino, kernelDevice(dev));

/** The file number for an inode and a device as the kernel numbers them. */
export const numberOf = (inode: number, device: number): number =>
  (privileged ? (device % 2 ** 20) * 2 ** 32 : 0) + (inode % 2 ** 32);

/** The kernel's own number of a device: 12 bits for the major number, 20 for the minor one (makedev(3) mixes them). */
const kernelDevice = (dev: number): number => {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return ((major << 20) | minor) >>> 0;
};
