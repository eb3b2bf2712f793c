/** Decodes UTF-8 strictly. */

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text with its BOM, if any; undefined for bytes that are not UTF-8. */
export const readUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
};

const NEWLINE = 10;

/** Number of the first line that is not UTF-8, from 1; 0 where all lines are. */
export const lineThatIsNotUtf8 = (bytes: Uint8Array): number => {
  for (let number = 1, start = 0; start < bytes.length; number += 1) {
    const end = bytes.indexOf(NEWLINE, start);
    // A newline byte is never part of a longer character.
    if (readUtf8(bytes.subarray(start, end < 0 ? bytes.length : end)) === undefined) return number;
    start = end < 0 ? bytes.length : end + 1;
  }
  return 0;
};
