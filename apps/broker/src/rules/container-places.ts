/** Paths in a container that are ours, and bounds of what it may write there. */
import { MIB } from "../../../supervisor/src/core/units.ts";
import { ContainerRefusal } from "./refusal.ts";

/** The shim's program. */
export const SHIM_PATH = "/dmhost-shim";
/** Directory with the shim's socket; the contract has both as well. */
export const GUEST_DIRECTORY = "/run/dmhost";
export const GUEST_SOCKET = "shim.sock";
/** Size of /tmp and of /dev/shm, in bytes; both count as the container's memory. */
export const TEMPORARY_SIZE = 64 * MIB;

/** Directories that a home may neither be nor be in: a container has its own. */
const OWN = ["/dev", "/proc", "/sys", GUEST_DIRECTORY, SHIM_PATH];

/** @throws ContainerRefusal for a home that no container can have at the same path */
export const requireHome = (home: string): void => {
  const isPlain = /^\/[^\0:,]+$/.test(home) && !home.split("/").some((part) => part === "." || part === "..");
  const within = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);
  if (isPlain && !OWN.some((path) => within(home, path) || within(path, home))) return;
  throw new ContainerRefusal(
    "refused",
    `a container cannot have the home ${JSON.stringify(home)}; give the account another one`,
  );
};
