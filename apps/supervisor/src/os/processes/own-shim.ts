/** The shim of this supervisor, and the cgroups that belong to it. */
import { CONTROLLERS } from "../../core/resource-limits.ts";
import { releaseCgroupRoot } from "../limits/cgroup.ts";
import { type CgroupRoot, findCgroupRoot, knownCgroupRoot } from "../limits/cgroup-root.ts";
import type { ShimLink } from "../shim/link.ts";
import { connectShim, startShim } from "../shim/open-shim.ts";

/** Connects to the shim; starts one where none runs. As long as it lives, the cgroups are its own. */
export const openShim = async (
  runDir: string,
  program: string,
  name: string,
): Promise<{ link: ShimLink; cgroups: CgroupRoot }> => {
  const running = connectShim(runDir);
  if (running) return { link: running, cgroups: knownCgroupRoot(running.requests.tree, CONTROLLERS) };
  let link: ShimLink | undefined;
  const cgroups = await findCgroupRoot(name, CONTROLLERS, async (tree) => {
    link = await startShim(runDir, program, tree);
    return link !== undefined;
  });
  link ??= await startShim(runDir, program);
  if (link === undefined) throw new Error(`no shim could be started in ${runDir}`);
  return { link, cgroups };
};

/** Removes the cgroups that have no processes, and ends the shim. */
export const endShim = (
  link: ShimLink,
  cgroups: CgroupRoot,
  log: { warn(fields: object, message: string): void },
): void => {
  link.lost = () => undefined;
  try {
    const lives = link.requests.list().some((each) => each.kind === "run" && each.state !== "exited");
    // Before the next owner can take them; a shim that continues owns them still.
    if (!lives) releaseCgroupRoot(cgroups);
    link.requests.shutDown();
  } catch (error) {
    log.warn({ err: error }, "the shim continues: the next supervisor uses it");
  }
};
