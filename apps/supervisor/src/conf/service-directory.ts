import {
  DEFAULTS,
  type Definition,
  type ParsedService,
  type Problem,
  type ServiceProblem,
  type ServiceText,
} from "../core/definition.ts";
import { jailPath } from "../core/paths.ts";
import type { Account } from "../core/policy-rules.ts";
import { parseKeys } from "./daemon-file.ts";
import type { Field } from "./daemon-keys.ts";
import { ACCOUNT } from "./forms.ts";
import { quoted } from "./quotation.ts";

const RUN = "the run of the directory decides that";
const TAKEN: ReadonlyMap<Field, string> = new Map([
  ["start", RUN],
  ["dir", "its run starts in the service directory, and may change to another"],
  ["shell", RUN],
  ["image", "its scripts are programs of this machine"],
]);

/** First line of a file of an environment directory, as `envdir` reads it: without white space at its end (docs/reference/daemontools.md#conf-keys). */
const firstLine = (text: string): string => (text.split("\n", 1)[0] ?? "").replace(/[ \t\r]+$/, "");

/** Path of the service directory for its run: within the jail where there is one; undefined where it is outside. */
const placeOf = (
  { directory, resolved }: ServiceText,
  chroot: string | undefined,
  owner: Account,
): string | undefined => {
  if (chroot === undefined) return directory;
  const jail = jailPath(chroot, owner);
  if (resolved === jail) return "/";
  const above = jail === "/" ? "" : jail;
  return resolved.startsWith(`${above}/`) ? resolved.slice(above.length) : undefined;
};

/**
 * The daemon of a service directory. Its `conf` takes every key of a conf file but `start`, `dir` and `shell`. `user` there
 * overrides `env/USER`, `down` overrides `autostart`, `log/run` overrides `output`, which is `log` by default.
 */
export function parseService(service: ServiceText, owner: Account): ParsedService {
  const errors: ServiceProblem[] = [];
  const named = service.user === undefined ? "" : firstLine(service.user);
  if (named !== "" && ACCOUNT.read(named) === undefined) {
    errors.push({ file: "env/USER", line: 1, text: `expected ${ACCOUNT.expected}, found ${quoted(named)}` });
  }
  const given: Definition = {
    ...DEFAULTS,
    dir: service.directory,
    start: "exec ./run",
    user: ACCOUNT.read(named),
    output: "log",
    service: { directory: service.directory, finish: service.finish, contents: service.contents },
  };
  const parsed = parseKeys(service.conf ?? "", given, TAKEN, owner, ({ chroot }) => {
    if (chroot === undefined || placeOf(service, chroot, owner) !== undefined) return undefined;
    const expected = `a jail that contains the service directory, because run starts in the jail: ${service.resolved}`;
    const found = `is not below ${jailPath(chroot, owner)}; move it there and put a symbolic link in its place`;
    return { key: "chroot", text: `expected ${expected} ${found}` };
  });
  const ofConf = (problem: Problem): ServiceProblem => ({ file: "conf", ...problem });
  errors.push(...parsed.errors.map(ofConf));
  const settled = parsed.value && {
    ...parsed.value,
    dir: placeOf(service, parsed.value.chroot, owner) ?? service.directory,
    autostart: parsed.value.autostart && !service.down,
    output: service.logger ? ("log/run" as const) : parsed.value.output,
  };
  return { value: errors.length > 0 ? undefined : settled, errors, warnings: parsed.warnings.map(ofConf) };
}
