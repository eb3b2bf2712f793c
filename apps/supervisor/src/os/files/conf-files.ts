/** The port conf-source: finds, reads and parses conf files and service directories of owners. */
import { hash } from "node:crypto";
import { join } from "node:path";
import type { Definition, Parsed, ParsedService, ServiceText } from "../../core/definition.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { ConfDirectories, ConfSource, FoundFile, FoundFiles } from "../../engine/ports/conf-source.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { type ConfText, confPath, type FileFilter, type OwnDirectory, readConfDirectory } from "./conf-dir.ts";
import { ConfWatch } from "./conf-watch.ts";
import type { FoundService } from "./service-content.ts";
import { readScript, readServiceDirectories, type ScriptText, serviceFolders } from "./service-dir.ts";

/** How files are selected and parsed. */
interface FileRules {
  /** Parses a conf file. */
  readonly parse: (text: string, owner: Account) => Parsed<Definition>;
  /** Parses the content of a service directory. */
  readonly parseService: (text: ServiceText, owner: Account) => ParsedService;
  /** Formats a problem as `path:line: text`. */
  readonly describe: (path: string, problem: { readonly line: number; readonly text: string }) => string;
  /** Pattern of daemons' names. */
  readonly names: RegExp;
  /** Bytes of a conf file at most. */
  readonly largest: number;
  /** Daemons of one owner that are loaded at most. */
  readonly mostDaemons: number;
}

/** Names that are read first, or the only one that is read. */
type Wanted = Pick<FileFilter, "first" | "only">;
type Named = Pick<FoundFile, "name" | "kind" | "path">;
type ParsedFields = Pick<FoundFile, "definition" | "errors" | "warnings" | "fingerprint">;

/** What is kept of one owner's files. */
interface OwnerFiles {
  /** Parsed conf files by path: an unchanged text is not parsed again. Only files that exist stay here. */
  parsed: Map<string, FoundFile>;
  watch: ConfWatch | undefined;
}

/** The files of all owners. */
export class ConfFiles implements ConfSource {
  readonly #rules: FileRules;
  readonly #identity: (owner: Account) => FileIdentity;
  /** By name. */
  readonly #owners = new Map<string, OwnerFiles>();

  /** @param identity of an owner, as whom files are read */
  constructor(rules: FileRules, identity: (owner: Account) => FileIdentity) {
    this.#rules = rules;
    this.#identity = identity;
  }

  readAll(owner: Account, directories: ConfDirectories, first: ReadonlySet<string>): FoundFiles {
    const conf = this.#readConf(owner, directories.chain, { first });
    const room = this.#rules.mostDaemons - conf.found.length;
    const services = this.#readServices(owner, directories.serviceChain, { first }, room);
    const files = new Map(conf.found.map((file) => [file.name, this.#parse(owner, file)]));
    if (conf.complete) this.#of(owner).parsed = new Map([...files.values()].map((file) => [file.path, file]));
    // Both may be below the same untrusted directory, with the same problem.
    const problems = [...new Set([...conf.problems, ...services.problems])];
    for (const service of services.found) {
      const known = files.get(service.name);
      if (known) problems.push(`${service.path}: not loaded: ${known.path} has the same name; rename one of them`);
      else files.set(service.name, this.#parseService(owner, service));
    }
    const skipped = [...conf.skipped, ...services.skipped];
    return { files: [...files.values()], skipped, problems, complete: conf.complete && services.complete };
  }

  readOne(owner: Account, directories: ConfDirectories, name: string): FoundFile | undefined {
    const text = this.text(owner, directories.chain, name);
    if (text) return this.#parse(owner, text);
    const { found, problems } = this.#readServices(owner, directories.serviceChain, { only: name });
    if (found[0]) return this.#parseService(owner, found[0]);
    if (problems.length === 0) return undefined;
    const path = join(directories.serviceChain.at(-1) ?? "/", name, "run");
    return refused({ name, kind: "service", path }, problems.join("; "));
  }

  watch(owner: Account, directories: ConfDirectories, changed: () => void): void {
    const kept = this.#of(owner);
    kept.watch ??= new ConfWatch();
    const identity = this.#identity(owner);
    const services = directories.serviceChain.at(-1) ?? "/";
    kept.watch.follow(
      identity,
      [directories.chain.at(-1) ?? "/", services, ...serviceFolders(identity, services)],
      changed,
    );
  }

  forget(owner: string): void {
    this.#owners.get(owner)?.watch?.end();
    this.#owners.delete(owner);
  }

  #of({ name }: Account): OwnerFiles {
    const kept = this.#owners.get(name) ?? { parsed: new Map(), watch: undefined };
    this.#owners.set(name, kept);
    return kept;
  }

  /** The text of one conf file, or why it cannot be read; undefined when there is no such file. */
  text(owner: Account, chain: readonly string[], name: string): ConfText | undefined {
    const { found, problems } = this.#readConf(owner, chain, { only: name });
    if (found[0] || problems.length === 0) return found[0];
    return { name, path: confPath(chain.at(-1) ?? "", name), text: undefined, problem: problems.join("; ") };
  }

  /** The text of the `run` of one service directory, or why it cannot be read; undefined when there is no such directory. */
  script(owner: Account, chain: readonly string[], name: string): ScriptText | undefined {
    const [found] = this.#readServices(owner, chain, { only: name }).found;
    if (!found) return undefined;
    const { path } = found;
    // Its reason contains the path.
    if (!found.content) return { path, text: undefined, problem: found.problem };
    return readScript(owner, this.#identity(owner), path, this.#rules.largest);
  }

  #readConf(owner: Account, chain: readonly string[], wanted: Wanted): OwnDirectory<ConfText> {
    const { names, largest, mostDaemons: most } = this.#rules;
    return readConfDirectory(owner, this.#identity(owner), chain, { names, largest, most, ...wanted });
  }

  #readServices(
    owner: Account,
    chain: readonly string[],
    wanted: Wanted,
    most = this.#rules.mostDaemons,
  ): OwnDirectory<FoundService> {
    const { names, largest } = this.#rules;
    return readServiceDirectories(owner, this.#identity(owner), chain, { names, largest, most, ...wanted });
  }

  #parseService(owner: Account, { name, path, content, problem }: FoundService): FoundFile {
    const file = { name, kind: "service", path } as const;
    if (content === undefined) return { ...refused(file, ""), errors: [problem], fingerprint: `! ${problem}` };
    const { fingerprint, ...text } = content;
    const { value, errors, warnings } = this.#rules.parseService(text, owner);
    const describe = (what: { file: string; line: number; text: string }) =>
      this.#rules.describe(join(text.directory, what.file), what);
    return readable(file, {
      definition: value,
      errors: errors.map(describe),
      warnings: warnings.map(describe),
      fingerprint,
    });
  }

  #parse(owner: Account, { name, path, text, problem }: ConfText): FoundFile {
    const file = { name, kind: "conf", path } as const;
    if (text === undefined) return refused(file, problem);
    const fingerprint = hash("sha256", text, "base64");
    const kept = this.#of(owner);
    const known = kept.parsed.get(path);
    if (known?.fingerprint === fingerprint) return known;
    const { value, errors, warnings } = this.#rules.parse(text, owner);
    const describe = (what: { line: number; text: string }) => this.#rules.describe(path, what);
    const parsed = readable(file, {
      definition: value,
      errors: errors.map(describe),
      warnings: warnings.map(describe),
      fingerprint,
    });
    kept.parsed.set(path, parsed);
    return parsed;
  }
}

const readable = (file: Named, parsed: ParsedFields): FoundFile => ({ ...file, readable: true, ...parsed });

/** A file that cannot be read, or that other accounts may have written. */
const refused = (file: Named, problem: string): FoundFile => {
  const errors = [`${file.path}: ${problem}`];
  return { ...file, readable: false, definition: undefined, errors, warnings: [], fingerprint: `! ${problem}` };
};
