/**
 * Text from tenants (log lines, reasons, paths) made safe to print: a terminal must not obey it, and it must not
 * look like other output (docs/explanation/security.md#17).
 */

/** Controls (C0, DEL, C1), characters that change the reading direction, and line separators. */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

const visible = (character: string): string => {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
};

/** Escapes every unsafe character but newline and tab, as `\x1b` or `\u{202e}`. */
export const printable = (text: string): string =>
  text.replace(UNSAFE, (character) => (character === "\n" || character === "\t" ? character : visible(character)));

/** Escapes newlines and tabs too: for text that has one line or one column to itself. */
export const oneLine = (text: string): string => text.replace(UNSAFE, visible);

/** JSON with the unsafe characters as `\u` escapes: the same value, harmless on a terminal. Ends with a newline. */
export const json = (value: unknown): string => `${escaped(JSON.stringify(value, undefined, 2))}\n`;

/** JSON as `json` makes it, on one line. */
export const jsonLine = (value: unknown): string => `${escaped(JSON.stringify(value))}\n`;

const escaped = (text: string): string =>
  text.replace(UNSAFE, (character) =>
    character === "\n" ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
