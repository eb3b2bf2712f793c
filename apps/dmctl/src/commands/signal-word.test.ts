import { expect, test } from "vitest";
import { isSignalFlag, signalNamed } from "./signal-word.ts";

test.each(["-9", "-KILL", "-SIGKILL", "KILL", "SIGKILL", "9"])("the word %s means the signal KILL", (word) => {
  expect(signalNamed(word)).toBe("KILL");
});

test.each(["0", "-0", "-1000", "--9", "--1", "", "-", "kill", "SIG", "SIGSIGKILL", "NOPE", "-NOPE", "9x", "1.5", "32"])(
  "the word %j is not a signal",
  (word) => {
    expect(signalNamed(word)).toBeUndefined();
  },
);

test("a word is read as a signal flag only with one dash and digits or capitals", () => {
  expect(["-0", "-9", "-KILL", "-USR1"].every(isSignalFlag)).toBe(true);
  expect(["-V", "-n", "-f", "--9", "KILL", "9", "-k9"].some(isSignalFlag)).toBe(false);
});
