/** The tables of docs/how-to/install.md, out of `./dmhost help`, and docs/reference/supervisor.md, out of the supervisor's usage. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { USAGE } from "../apps/supervisor/src/app/flags.ts";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

/**
 * The entries of a paragraph of help: a term after two blanks, and its text after two blanks or more; lines that are
 * indented further continue the text. Throws where a line is neither.
 */
export const helpEntries = (paragraph: string): readonly (readonly [term: string, text: string])[] => {
  const entries: [string, string][] = [];
  for (const line of paragraph.split("\n")) {
    const [, term, text] = /^ {2}(\S+(?: \S+)*) {2,}(\S.*)$/.exec(line) ?? [];
    const last = entries.at(-1);
    if (term !== undefined && text !== undefined) entries.push([term, text]);
    else if (last !== undefined && /^ {4,}\S/.test(line)) last[1] += ` ${line.trim()}`;
    else throw new Error(`./dmhost help: expected "  TERM  TEXT" or the rest of a text, found "${line}"`);
  }
  return entries;
};

/** Throws where the help has other paragraphs than usage, commands and environment. */
const tables = (help: string): { readonly commands: string; readonly settings: string } => {
  const [, commands, environment, ...more] = help.trimEnd().split("\n\n");
  if (commands === undefined || !environment?.startsWith("Environment:\n") || more.length > 0)
    throw new Error("./dmhost help: expected the paragraphs usage, commands and environment");
  return {
    commands: table(
      ["command", "does"],
      helpEntries(commands).map(([term, text]) => [`\`./dmhost ${term}\``, text]),
    ),
    settings: table(
      ["environment variable", "meaning (default)"],
      helpEntries(environment.replace("Environment:\n", "")).map(([term, text]) => [`\`${term}\``, text]),
    ),
  };
};

const dmhost = resolve(import.meta.dirname, "../dmhost");

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => {
  const { commands, settings } = tables(execFileSync(dmhost, ["help"], { encoding: "utf8" }));
  return [
    region("docs/how-to/install.md", "commands", commands),
    region("docs/how-to/install.md", "settings", settings),
    region("docs/reference/supervisor.md", "usage", `\`\`\`\n${USAGE}\`\`\``),
  ];
};
