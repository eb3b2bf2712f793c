import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editDistance, nearest, suggestion } from "./suggestion.ts";

const KEYS = ["start", "dir", "user", "output", "autostart", "stop-timeout", "max-retries"];

describe("nearest", () => {
  it.each([
    ["strat", "start"],
    ["statr", "start"],
    ["usr", "user"],
    ["USER", "user"],
    ["ouput", "output"],
    ["autostrt", "autostart"],
    ["stop_timeout", "stop-timeout"],
    ["stoptimeout", "stop-timeout"],
    ["max-retrys", "max-retries"],
    ["dri", "dir"],
    ["memory", undefined],
    ["", undefined],
    ["xyz", undefined],
    ["x".repeat(60_000), undefined],
  ])("the nearest word to %.20s is %s", (word, expected) => {
    expect(nearest(word, KEYS)).toBe(expected);
  });
});

it("of two words that are equally near the first is the nearest", () => {
  expect(nearest("cat", ["bat", "hat"])).toBe("bat");
});

describe("suggestion", () => {
  it("a suggestion lists up to 12 words, and refers to the manual for more", () => {
    const words = Array.from({ length: 12 }, (_, at) => `word-${at}`);
    expect(suggestion("zzz", words)).toMatch(/^expected one of "word-0", .*"word-11"$/);
    expect(suggestion("zzz", [...words, "word-12"])).toBe("expected one of the 13 in the manual");
  });

  it("a suggestion proposes a close word, and lists all words if none is close", () => {
    expect(suggestion("strat", KEYS)).toBe('did you mean "start"?');
    expect(suggestion("2", ["1"])).toBe('expected one of "1"');
    expect(suggestion("zzz", ["a", "b"])).toBe('expected one of "a", "b"');
  });
});

describe("editDistance", () => {
  it.each([
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "abc", 0],
    ["abc", "acb", 1],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
  ])("the edit distance from %s to %s is counted", (a, b, expected) => {
    expect(editDistance(a, b)).toBe(expected);
  });

  it("the edit distance is symmetric, zero only for equals, and at least the difference in length", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});
