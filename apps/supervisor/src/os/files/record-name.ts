import type { InstanceKey } from "../../core/daemon-key.ts";

/** File name of an instance's record, distinct for every instance of an owner: no daemon's name has a #. */
export const recordName = ({ name, instance }: Pick<InstanceKey, "name" | "instance">): string =>
  instance === 1 ? name : `${name}#${instance}`;
