/** The whole state as one document. */
import { type StateExport, VERSION } from "@dmhost/contract";
import type { Right } from "../core/policy.ts";
import type { Engine } from "./engine.ts";
import { explain, lifecycle } from "./explanation.ts";
import type { ExplanationSurroundings } from "./surroundings.ts";

/** Exports the policy and every daemon; reads one log after another. */
export const exportState = async (engine: Engine, about: ExplanationSurroundings): Promise<StateExport> => {
  const { runsAs, manages, hosts, images } = engine.policy.rights();
  const granted = ({ holder, object, line }: Right) => ({ holder, object, source: `${about.policyFile}:${line}` });
  const daemons: StateExport["daemons"] = [];
  for (const daemon of engine.daemons()) {
    const explanation = await explain(engine, about, daemon);
    daemons.push({ ...explanation, lifecycle: lifecycle(daemon, about.now()) });
  }
  return {
    version: VERSION,
    exportedAt: new Date().toISOString(),
    supervisor: about.health(),
    policy: {
      file: about.policyFile,
      owners: [...engine.owners()],
      runsAs: runsAs.map(granted),
      manages: manages.map(granted),
      hosts: hosts.map(granted),
      images: images.map(granted),
    },
    daemons,
  };
};
