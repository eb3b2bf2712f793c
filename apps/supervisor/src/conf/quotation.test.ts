import { expect, it } from "vitest";
import { quoted } from "./quotation.ts";

it.each([
  ["", "nothing"],
  ["a b", '"a b"'],
  ["x".repeat(60), `"${"x".repeat(60)}"`],
  ["x".repeat(61), `"${"x".repeat(60)}..."`],
  ["\u{1f600}".repeat(60), `"${"\u{1f600}".repeat(60)}"`],
  ["a\u001b[31m\u202e", '"a\\u{1b}[31m\\u{202e}"'],
])("the text %j of a tenant is quoted as %j in a message", (text, shown) => expect(quoted(text)).toBe(shown));
