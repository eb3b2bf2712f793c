/** Launch plans of daemons in containers: their program is launched by the shim of the container, which has the account already. */
import { describeImage } from "../core/image.ts";
import { resourceLimitsOf } from "../core/resource-limits.ts";
import { type Launch, type LaunchPlan, launchDaemon } from "./plan.ts";

/** Where a program in a container reports readiness with ready=notify: in its /tmp, which is a file system in memory. */
const CONTAINER_NOTIFY = "/tmp/.dmhost-notify.sock";

/**
 * The launch of a daemon in its container. Words are empty where the image's command is executed. PATH is the image's unless the
 * conf file exports one.
 */
export const launchContained = (launch: Launch): LaunchPlan => {
  const { definition, account } = launch;
  const { image, network, start, environment, ready } = definition;
  const plan = launchDaemon({ ...launch, notifyPath: ready === "notify" ? CONTAINER_NOTIFY : undefined });
  const variables = new Map(plan.environment);
  if (!environment.has("PATH")) variables.delete("PATH");
  return {
    ...plan,
    ...(start === "" && { words: [], shell: undefined, start: undefined }),
    environment: variables,
    container: JSON.stringify([
      image && describeImage(image),
      network,
      [account.name, account.uid, account.gid, account.home],
      resourceLimitsOf(definition),
    ]),
  };
};

/** What an image says of the programs that run in it. */
export interface ImageDefaults {
  /** Entrypoint and arguments; may be empty. */
  readonly command: readonly string[];
  /** `NAME=value` */
  readonly environment: readonly string[];
  readonly directory: string;
}

/** A plan completed by its image: the conf file's variables come after those of the image. */
export const completedBy = (plan: LaunchPlan, { command, environment, directory }: ImageDefaults): LaunchPlan => ({
  ...plan,
  words: plan.start === undefined && plan.words.length === 0 ? command : plan.words,
  environment: new Map([...environment.map(variable), ...plan.environment]),
  directory: plan.directory === "/" ? directory : plan.directory,
});

const variable = (text: string): readonly [string, string] => {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
};
