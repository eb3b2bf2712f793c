/** The whole state as one document, for root. */
import { type StateExport, VERSION } from "@dmhost/contract";
import type { Right } from "../core/policy.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import { type ExplanationSurroundings, explain, lifecycle } from "./explanation.ts";

/** Everything that there is to know, one daemon after another. */
export const exportState = async (supervisor: Supervisor, about: ExplanationSurroundings): Promise<StateExport> => {
  const { runsAs, manages, hosts } = supervisor.policy.rights();
  const granted = ({ holder, object, line }: Right) => ({ holder, object, source: `${about.policyFile}:${line}` });
  const daemons: StateExport["daemons"] = [];
  for (const daemon of supervisor.daemons()) {
    const explanation = await explain(supervisor, about, daemon);
    daemons.push({ ...explanation, lifecycle: lifecycle(daemon, about.now()) });
  }
  return {
    version: VERSION,
    exportedAt: new Date().toISOString(),
    supervisor: about.health(),
    policy: {
      file: about.policyFile,
      owners: [...supervisor.owners()],
      runsAs: runsAs.map(granted),
      manages: manages.map(granted),
      hosts: hosts.map(granted),
    },
    daemons,
  };
};
