/** Answers have the fields of their schema alone, at every depth. */
import { expect, test } from "vitest";
import { serializerOf } from "./serializers.ts";

const string = { type: "string" };
const serialize = serializerOf({
  properties: {
    name: string,
    list: { items: { properties: { id: string } } },
    words: { items: string },
    inner: { properties: { x: string } },
  },
});

test.each([
  ["on top", { name: "a", secret: 1 }, { name: "a" }],
  ["in an object", { inner: { x: "a", secret: 1 } }, { inner: { x: "a" } }],
  ["in a list", { list: [{ id: "a" }, { id: "b", secret: 1 }] }, { list: [{ id: "a" }, { id: "b" }] }],
])("a field that the schema does not name is left out %s", (_where, answer, expected) => {
  const before = JSON.stringify(answer);
  expect(JSON.parse(serialize(answer))).toEqual(expected);
  expect(JSON.stringify(answer)).toBe(before);
});

test("an answer of the schema's fields is written byte for byte as JSON.stringify does", () => {
  const answer = { words: ['"\\\u0000\u2028\ud800 é'], name: "a", list: [{ id: "b" }], inner: null };
  expect(serialize(answer)).toBe(JSON.stringify(answer));
});

test.each([
  ["a string", { name: { secret: 1 } }],
  ["a list", { list: { secret: 1 } }],
  ["a string of a list", { words: [{ secret: 1 }] }],
])("an object in the place of %s is not written", (_what, answer) => {
  expect(() => serialize(answer)).toThrow("the answer has an object where its schema has none");
});
