import type { Definition } from "../core/definition.ts";
import { effectiveSettings } from "./effective-settings.ts";

/** Text of a conf file that parseDaemonFile reads as this definition; undefined for that of a service directory. */
export const definitionText = (definition: Definition): string | undefined => {
  if (definition.service) return undefined;
  // Without a start, a container executes its image's own command.
  const lines = effectiveSettings(definition).filter(
    ({ isDefault, key, value }) => !isDefault && (key !== "start" || value !== ""),
  );
  return lines.map(({ key, value }) => `${key} = ${value}\n`).join("");
};
