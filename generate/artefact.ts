/** Text that the code knows and a file of the repository repeats. */
export interface Artefact {
  /** The file, relative to the repository's root. */
  readonly path: string;
  /** The part of the file, between `<!-- generate NAME -->` and `<!-- end NAME -->`; undefined: the whole file. */
  readonly region?: string;
  /** The text, without the markers. */
  readonly text: string;
}

/**
 * Puts an artefact's text into the file's current text and returns the result.
 * Throws where the file does not have both markers of the region.
 */
export const applied = (current: string, { path, region, text }: Artefact): string => {
  if (region === undefined) return text;
  const [from, to] = [`<!-- generate ${region} -->\n`, `<!-- end ${region} -->\n`];
  const start = current.indexOf(from);
  const end = current.indexOf(to, start);
  if (start < 0 || end < 0) throw new Error(`${path}: expected the lines ${from.trim()} and ${to.trim()}`);
  return `${current.slice(0, start + from.length)}\n${text.trim()}\n\n${current.slice(end)}`;
};
