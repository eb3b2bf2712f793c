/** A file of the repository that repeats, as a whole or in a part, what the code knows. */
export interface Artefact {
  /** The file, relative to the repository's root. */
  readonly path: string;
  /** The text that the file should have, where it has `current`. Throws where the place for the generated part is missing. */
  readonly apply: (current: string) => string;
}

/** The part of a file between `<!-- generate NAME -->` and `<!-- end NAME -->`; `text` is without the markers. */
export const region = (path: string, name: string, text: string): Artefact => ({
  path,
  apply: (current) => {
    const [from, to] = [`<!-- generate ${name} -->\n`, `<!-- end ${name} -->\n`];
    const start = current.indexOf(from);
    const end = current.indexOf(to, start);
    if (start < 0 || end < 0) throw new Error(`${path}: expected the lines ${from.trim()} and ${to.trim()}`);
    return `${current.slice(0, start + from.length)}\n${text.trim()}\n\n${current.slice(end)}`;
  },
});
