/** The shim of this supervisor, and the cgroups that belong to it. */
import { CONTROLLERS } from "../../core/resource-limits.ts";
import { releaseCgroupRoot } from "../limits/cgroup.ts";
import { type CgroupRoot, findCgroupRoot, knownCgroupRoot } from "../limits/cgroup-root.ts";
import type { ShimLink } from "../shim/link.ts";
import { connectShim, type Patience, shimPath, startShim } from "../shim/open-shim.ts";
import { endLastShim, rememberShim } from "./last-shim.ts";

/** A shim, and the cgroups that are its own as long as it lives. */
interface OwnShim {
  readonly link: ShimLink;
  readonly cgroups: CgroupRoot;
}

/**
 * Connects to the shim; starts one where none can be reached.
 * @param report called with the reason where an earlier one has to be ended first
 * @param patience with one that does not answer
 */
export const openShim = async (
  { runDir, stateDir }: { readonly runDir: string; readonly stateDir: string },
  program: string,
  name: string,
  report: (reason: string) => void,
  patience: Patience,
): Promise<OwnShim> => {
  let own = await connect(runDir, patience);
  if (own === undefined) {
    await endLastShim(stateDir, shimPath(runDir), report);
    own = await start(runDir, program, name, patience);
  }
  rememberShim(stateDir, own.link.requests.pid);
  return own;
};

const connect = async (runDir: string, patience: Patience): Promise<OwnShim | undefined> => {
  const link = await connectShim(runDir, patience);
  return link && { link, cgroups: knownCgroupRoot(link.requests.tree, CONTROLLERS) };
};

const start = async (runDir: string, program: string, name: string, patience: Patience): Promise<OwnShim> => {
  let link: ShimLink | undefined;
  const cgroups = await findCgroupRoot(name, CONTROLLERS, async (tree) => {
    link = await startShim(runDir, program, tree, patience);
    return link !== undefined;
  });
  link ??= await startShim(runDir, program, undefined, patience);
  if (link === undefined) throw new Error(`no shim could be started in ${runDir}`);
  return { link, cgroups };
};

/** Time for the end of runs that were killed last, and interval between two looks. In ms. */
const LONGEST_END = 2000;
const LOOK = 10;

/** Removes the cgroups that have no processes, and ends the shim. */
export const endShim = (
  link: ShimLink,
  cgroups: CgroupRoot,
  log: { warn(fields: object, message: string): void },
): void => {
  link.lost = () => undefined;
  try {
    const look = (): boolean => link.requests.list().some((each) => each.kind === "run" && each.state !== "exited");
    let lives = look();
    for (const end = performance.now() + LONGEST_END; lives && performance.now() < end; lives = look()) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK);
    }
    // Before the next owner can take them; a shim that continues owns them still.
    if (!lives) releaseCgroupRoot(cgroups);
    link.requests.shutDown();
  } catch (error) {
    log.warn({ err: error }, "the shim continues: the next supervisor uses it");
  }
};
