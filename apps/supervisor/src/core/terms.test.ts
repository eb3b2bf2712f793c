import { expect, it } from "vitest";
import { DEFAULTS, type Definition } from "./definition.ts";
import { areCompatible, mayRoll, sameDefinition, sameLog, type Terms } from "./terms.ts";

const definitionOf = (own: Partial<Definition> = {}): Definition => ({ ...DEFAULTS, start: "x", ...own });
const termsOf = (own: Partial<Definition> = {}, change: Partial<Terms> = {}): Terms => ({
  definition: definitionOf(own),
  fingerprint: "",
  account: { name: "alice", uid: 1001, gid: 1001, home: "/home/alice", shell: "/bin/sh" },
  logDirectory: "/home/alice/logs/x",
  nginxGroup: "web",
  ...change,
});
const ofBob: Partial<Terms> = {
  account: { name: "bob", uid: 1002, gid: 1002, home: "/home/bob", shell: "/bin/sh" },
};

it("runs write to one log only with the same account, directory and kind of output", () => {
  expect(sameLog(termsOf(), termsOf({ start: "y" }))).toBe(true);
  expect(sameLog(termsOf(), termsOf({}, ofBob))).toBe(false);
  expect(sameLog(termsOf(), termsOf({}, { logDirectory: "/elsewhere" }))).toBe(false);
  expect(sameLog(termsOf({ output: "log" }), termsOf({ output: "discard" }))).toBe(false);
});

it("runs can live at the same time only with one log and the same kind of socket", () => {
  const http = termsOf({ listen: "http" });
  expect(areCompatible(http, termsOf({ listen: "http", start: "y" }))).toBe(true);
  expect(areCompatible(http, termsOf({ listen: "fastcgi" }))).toBe(false);
  expect(areCompatible(http, termsOf({ listen: "http" }, ofBob))).toBe(false);
  expect(areCompatible(termsOf(), termsOf())).toBe(false);
});

it("new runs start beside the old unless rolling=no, or a lock that only one process can hold", () => {
  expect(mayRoll(termsOf())).toBe(true);
  expect(mayRoll(termsOf({ rolling: false }))).toBe(false);
  expect(mayRoll(termsOf({ lock: "/run/x" }))).toBe(false);
});

it("definitions are equal when all keys and exported variables are", () => {
  const environment = (value: string) => new Map([["A", value]]);
  expect(sameDefinition(definitionOf(), definitionOf())).toBe(true);
  expect(sameDefinition(definitionOf(), definitionOf({ nice: 5 }))).toBe(false);
  expect(
    sameDefinition(definitionOf({ environment: environment("1") }), definitionOf({ environment: environment("2") })),
  ).toBe(false);
});
