/** The labels of the broker's containers. */

const PREFIX = "io.dmhost";
/** Of the broker that made the container: the random id that its state directory has. */
const BROKER_LABEL = `${PREFIX}.broker`;
/** Of the attempt: it tells a container that is being made from one that a broker left. */
const ATTEMPT_LABEL = `${PREFIX}.attempt`;

/** What a container is for. */
export interface ContainerPurpose {
  readonly owner: string;
  readonly name: string;
  readonly instance: number;
  readonly run: number;
}

/** Labels of a container. */
export const containerLabels = (
  purpose: ContainerPurpose,
  broker: string,
  attempt: string,
): Record<string, string> => ({
  [BROKER_LABEL]: broker,
  [ATTEMPT_LABEL]: attempt,
  [`${PREFIX}.owner`]: purpose.owner,
  [`${PREFIX}.name`]: purpose.name,
  [`${PREFIX}.instance`]: String(purpose.instance),
  [`${PREFIX}.run`]: String(purpose.run),
});

/** Whether a container was made by this broker. Images have labels, too, but do not know its id. */
export const isOurs = (labels: Readonly<Record<string, string>>, broker: string): boolean =>
  labels[BROKER_LABEL] === broker;

/** The attempt that made it. */
export const attemptOf = (labels: Readonly<Record<string, string>>): string | undefined => labels[ATTEMPT_LABEL];

/** The label of all containers of a broker, as engines select by it. */
export const brokerFilter = (broker: string): string => `${BROKER_LABEL}=${broker}`;
