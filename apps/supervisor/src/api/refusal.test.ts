import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { answerTo, Refusal } from "./refusal.ts";

/** The message of each `new Refusal` in this room, as its source has it. */
const messages = globSync("**/*.ts", { cwd: import.meta.dirname, exclude: ["**/*.test.ts"] }).flatMap((path) =>
  [
    ...readFileSync(join(import.meta.dirname, path), "utf8").matchAll(
      /new Refusal\(\s*"[a-z-]+",\s*((?:"(?:[^"\\]|\\.)*"|'[^']*'|`(?:[^`\\]|\\.)*`|\s*\+\s*)+)/g,
    ),
  ].map(([, message = ""]): [string, string] => [path, message.trim()]),
);

test("the messages of refusals are found in the sources of the API", () => {
  expect(messages.length).toBeGreaterThan(15);
});

test.each(messages)("%s: the refusal %s begins each line in lower case and has no final period", (_path, message) => {
  const lines = message.slice(1, -1).split("\\n");
  expect(lines.filter((line) => /^[`"'\s+]*[A-Z]/.test(line) || /\.[`"'\s]*$/.test(line))).toEqual([]);
});

test.each([
  ["Request body is too large", "request body is too large"],
  ["Unsupported Media Type: text/plain.", "unsupported Media Type: text/plain"],
  ["JSON is expected", "JSON is expected"],
  [undefined, "the request is malformed"],
])("the HTTP server's message %j is answered as %j", (message, answered) => {
  expect(answerTo({ statusCode: 413, message })).toEqual({ status: 413, body: { code: "usage", message: answered } });
});

test("a refusal is answered with its code, message and details", () => {
  const refusal = new Refusal("ambiguous", "two daemons", ["amy/web", "bob/web"]);
  expect(answerTo(refusal).body).toEqual({
    code: "ambiguous",
    message: "two daemons",
    details: ["amy/web", "bob/web"],
  });
});
