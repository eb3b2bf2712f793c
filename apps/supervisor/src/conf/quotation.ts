const LONGEST = 60;

/**
 * Quotes text of a tenant for a message: at most 60 characters, with control characters, bidi marks and all others that a
 * terminal does not print written as \u{hex}. An empty text is `nothing`.
 */
export function quoted(text: string): string {
  if (text === "") return "nothing";
  const characters = [...text.slice(0, 2 * LONGEST)];
  const shown = characters
    .slice(0, LONGEST)
    .join("")
    .replace(/[\p{C}\p{Zl}\p{Zp}\u00a0]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
  return characters.length > LONGEST ? `"${shown}..."` : `"${shown}"`;
}
