/** Names of containers in the shim, and of the sockets at which their shims connect. */
import type { InstanceKey } from "../core/daemon-key.ts";
import { readRunName, runName } from "../os/shim/names.ts";

const CONTAINER = ":container";

/** @param made number of the run that it is made for */
export const containerName = (key: InstanceKey, made: number): string => `${runName(key, made)}${CONTAINER}`;

/** The instance and the run that a container was made for; undefined for a name of anything else. */
export const readContainerName = (name: string): ReturnType<typeof readRunName> =>
  name.endsWith(CONTAINER) ? readRunName(name.slice(0, -CONTAINER.length)) : undefined;

/** The held socket at which the shim of a container connects. */
export const meetingName = (guest: string): string => `:guest:${guest}`;
