import { describe, expect, it } from "vitest";
import { isLogPattern, LONGEST_PATTERN, selectionScript, translatePattern } from "./log-selection.ts";

describe("translatePattern", () => {
  it.each([
    ["hello", "^hello$"],
    ["", "^$"],
    ["*", "^.*$"],
    ["*fatal: *", "^[^f]*fatal: .*$"],
    ["a*b*c", "^a[^b]*b[^c]*c$"],
    ["**", "^[^*]*\\*.*$"],
    ["**x", "^[^*]*\\*[^x]*x$"],
    ["***x", "^[^*]*\\*[^x]*x$"],
    ["*]", "^[^]]*]$"],
    ["*^*-*[", "^[^^]*\\^[^-]*-[^[]*\\[$"],
    ["*\\", "^[^\\]*\\\\$"],
    ["a.b$c(d|e)f+g?h{2}", "^a\\.b\\$c\\(d\\|e\\)f\\+g\\?h\\{2}$"],
    ["(a*)*b", "^\\(a[^)]*\\)[^b]*b$"],
  ])("the selection pattern %s becomes %s", (pattern, expression) => {
    expect(translatePattern(pattern)).toBe(expression);
  });
});

it("a selection script keeps the order and the signs of its patterns", () => {
  expect(selectionScript(["-*", "+*fatal*", "-x"])).toEqual(["-^.*$", "+^[^f]*fatal.*$", "-^x$"]);
});

describe("isLogPattern", () => {
  it.each(["+a", "-*", "+ünïcode*x", `+${"a".repeat(LONGEST_PATTERN - 1)}`])(
    "the selection pattern %s is accepted",
    (word) => {
      expect(isLogPattern(word)).toBe(true);
    },
  );
  it.each(["", "+", "-", "a", "*x", "+a\nb", "+a\u0000", "+*ü", "+*\u{1f600}", `+${"a".repeat(LONGEST_PATTERN)}`])(
    "the selection pattern %j is refused",
    (word) => {
      expect(isLogPattern(word)).toBe(false);
    },
  );
});
