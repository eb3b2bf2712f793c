import { expect, test } from "vitest";
import { json, oneLine, printable } from "./printable.ts";

test.each([
  ["an OSC that sets the title", "\u001b]0;owned\u0007", "\\x1b]0;owned\\x07"],
  ["a CSI that clears the screen", "\u001b[2J", "\\x1b[2J"],
  ["the one-character CSI", "\u009b2J", "\\x9b2J"],
  ["a change of reading direction", "a\u202eb\u2066c\u200fd\u061ce", "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{61c}e"],
  ["a line separator", "a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c"],
  ["carriage return, backspace, DEL, NUL", "\r\b\u007f\0", "\\x0d\\x08\\x7f\\x00"],
])("escaping makes %s visible", (_, text, shown) => {
  expect(printable(text)).toBe(shown);
  expect(oneLine(text)).toBe(shown);
});

test("letters of every script are not escaped, nor newline and tab in a text of several lines", () => {
  expect(printable("grüße\t你好 👩‍🔧\n")).toBe("grüße\t你好 👩‍🔧\n");
  expect(oneLine("a\tb\n")).toBe("a\\x09b\\x0a");
});

test("JSON keeps its value and has no character that a terminal obeys", () => {
  const value = { reason: "\u009b2J\u202e\u007f\u001b[0m\n", list: [1] };
  const text = json(value);
  expect(JSON.parse(text)).toEqual(value);
  expect(text).toBe(printable(text));
  expect(text.endsWith("}\n")).toBe(true);
});
