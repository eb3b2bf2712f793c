/** The list of docs/decisions/README.md, out of the titles of the pages beside it. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Artefact, region } from "./artefact.ts";

const folder = resolve(import.meta.dirname, "../docs/decisions");

/** What `npm run generate` writes. Throws where a page does not begin with `# NUMBER: TITLE`, by the number of its name. */
export const artefacts = (): readonly Artefact[] => {
  const pages = globSync("[0-9]*.md", { cwd: folder }).sort();
  const entries = pages.map((page) => {
    const title = /^# (.+)/.exec(readFileSync(join(folder, page), "utf8"))?.[1] ?? "";
    if (!title.startsWith(`${page.slice(0, 4)}: `)) {
      throw new Error(`docs/decisions/${page}: expected "# ${page.slice(0, 4)}: TITLE" on line 1, found "${title}"`);
    }
    return `- [${title}](${page})`;
  });
  return [region("docs/decisions/README.md", "decisions", entries.join("\n"))];
};
