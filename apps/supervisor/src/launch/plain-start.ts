/** Start lines that need no shell: `exec` and plain words. */
import { DEFAULTS, type Definition } from "../core/definition.ts";

/** A command line that a shell would split only at spaces. */
const PLAIN = /^exec +(\w|\.{0,2}\/)[\w./,:@%+-]*( +[\w./,:@%+=-]+)*$/;
/** Variables that a shell changes when it starts. */
const SHELL_VARIABLES: ReadonlySet<string> = new Set(["IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD"]);
/** Words of a launch plan at most (shim/plan.h). */
const MOST_WORDS = 512;

/** The arguments of a `start` that needs no shell; none where it needs one. */
export const plainWords = ({ start, shell, chroot, environment, envDir, envFile }: Definition): readonly string[] => {
  const isKnown =
    envDir === undefined && envFile === undefined && ![...environment.keys()].some((name) => SHELL_VARIABLES.has(name));
  const isPlain = isKnown && shell === DEFAULTS.shell && chroot === undefined && PLAIN.test(start);
  const words = isPlain ? start.split(/ +/).slice(1) : [];
  return words.length > MOST_WORDS ? [] : words;
};
