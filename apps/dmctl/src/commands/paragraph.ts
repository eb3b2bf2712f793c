/** Breaks a text into lines of at most `width` characters, each with `indent` before it. */
export const paragraph = (text: string, width: number, indent = ""): string[] => {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? `${indent}${word}` : `${line} ${word}`;
    if (longer.length <= width || line === "") {
      line = longer;
      continue;
    }
    lines.push(line);
    line = `${indent}${word}`;
  }
  return [...lines, line];
};

/** `show X` as the sentence `Show X.` */
export const sentence = (summary: string): string => `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;

/** Markdown without its marks. */
export const plain = (markdown: string): string => markdown.replace(/[*`]/g, "").replaceAll("\\", "");
