/** The lists of pages in docs/README.md and docs/decisions/README.md, out of the pages' titles. */
import { globSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type Artefact, region } from "./artefact.ts";

const docs = resolve(import.meta.dirname, "../docs");

/** The title of a page, relative to docs/. Throws where the page does not begin with a heading. */
const titleOf = (page: string): string => {
  const title = /^# (.+)/.exec(readFileSync(join(docs, page), "utf8"))?.[1];
  if (title === undefined) throw new Error(`docs/${page}: expected "# TITLE" on line 1`);
  return title;
};

/** The title of a decision, behind the number of its file. Throws where the title has another number. */
const decisionTitle = (page: string): string => {
  const [, number = "", title = ""] = /^(?:(\d+)[.:] )?(.+)$/.exec(titleOf(page)) ?? [];
  const expected = basename(page).slice(0, 4);
  if (number !== "" && Number(number) !== Number(expected)) {
    throw new Error(`docs/${page}: expected number ${expected} in the title, found ${number}`);
  }
  return `${expected}: ${title}`;
};

/** A list of links to the pages of a folder of docs/, by their titles; `from` is the folder of the index. */
const list = (folder: string, from = "", nameOf = titleOf): string =>
  globSync(`${folder}/*.md`, { cwd: docs })
    .filter((page) => basename(page) !== "README.md")
    .map((page) => ({ title: nameOf(page), target: from === folder ? basename(page) : page }))
    .sort((a, b) => (a.title < b.title ? -1 : 1))
    .map(({ title, target }) => `- [${title}](${target})`)
    .join("\n");

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => {
  return [
    ...["tutorials", "how-to", "reference", "explanation"].map((folder) =>
      region("docs/README.md", folder, list(folder)),
    ),
    region("docs/decisions/README.md", "decisions", list("decisions", "decisions", decisionTitle)),
  ];
};
