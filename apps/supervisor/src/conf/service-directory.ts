import {
  DEFAULTS,
  type Definition,
  type ParsedService,
  type Problem,
  type ServiceProblem,
  type ServiceText,
} from "../core/definition.ts";
import { parseKeys } from "./daemon-file.ts";
import { ACCOUNT, type Field, readAccount } from "./daemon-keys.ts";
import { quoted } from "./quotation.ts";

const RUN = "the directory's run says that";
const TAKEN: ReadonlyMap<Field, string> = new Map([
  ["start", RUN],
  ["dir", "its run begins in the service directory, and may change that"],
  ["shell", RUN],
]);

/**
 * The first line of a file of an environment directory as `envdir` takes it: without white space at its end
 * (spec/daemontools.md: env-dir).
 */
const firstLine = (text: string): string => (text.split("\n", 1)[0] ?? "").replace(/[ \t]+$/, "");

/**
 * The daemon of a service directory. Its `conf` takes every key of a daemon's file but `start`, `dir` and `shell`;
 * `user` there counts more than `env/USER`, `down` more than `autostart`, and `log/run` more than `output`, which is
 * `log` by default.
 */
export function parseService(service: ServiceText): ParsedService {
  const errors: ServiceProblem[] = [];
  const named = service.user === undefined ? "" : firstLine(service.user);
  if (named !== "" && readAccount(named) === undefined) {
    errors.push({ file: "env/USER", line: 1, text: `expected ${ACCOUNT}, found ${quoted(named)}` });
  }
  const given: Definition = {
    ...DEFAULTS,
    dir: service.directory,
    start: "exec ./run",
    user: readAccount(named),
    output: "log",
    service: { finish: service.finish, contents: service.contents },
  };
  const parsed = parseKeys(service.conf ?? "", given, TAKEN);
  const ofConf = (problem: Problem): ServiceProblem => ({ file: "conf", ...problem });
  errors.push(...parsed.errors.map(ofConf));
  const settled = parsed.value && {
    ...parsed.value,
    autostart: parsed.value.autostart && !service.down,
    output: service.logger ? ("log/run" as const) : parsed.value.output,
  };
  return { value: errors.length > 0 ? undefined : settled, errors, warnings: parsed.warnings.map(ofConf) };
}
