import fc from "fast-check";
import { expect, it } from "vitest";
import { type Hostname, hostname } from "../core/hostname.ts";
import { type Claim, settleClaims } from "./claims.ts";

const HOST = hostname("a.example") as Hostname;
const of = (...ids: string[]): Claim[] => ids.map((id) => ({ host: HOST, id }));

it("gives a host to the id that comes first, and then leaves it there", () => {
  expect(settleClaims(of("b/x", "a/y"), new Map()).get(HOST)).toBe("a/y");
  expect(settleClaims(of("a/y", "b/x"), new Map([[HOST, "b/x"]])).get(HOST)).toBe("b/x");
  expect(settleClaims(of("a/y"), new Map([[HOST, "b/x"]])).get(HOST)).toBe("a/y");
});

it("forgets a host that nobody claims", () => {
  expect(settleClaims([], new Map([[HOST, "b/x"]])).size).toBe(0);
});

it("does not depend on the order in which claims come, and what it says it says again", () => {
  const id = fc.constantFrom("a/a", "a/b", "b/a", "c/c");
  const claims = fc.array(fc.record({ id, host: fc.constantFrom(HOST, "b.example" as Hostname) }));
  fc.assert(
    fc.property(claims, fc.dictionary(fc.constantFrom<string>(HOST, "b.example"), id), (some, dictionary) => {
      const before = new Map(Object.entries(dictionary));
      const holders = settleClaims(some, before);
      expect(settleClaims([...some].reverse(), before)).toEqual(holders);
      expect(settleClaims(some, holders)).toEqual(holders);
      for (const [host, holder] of holders) {
        expect(some.some((claim) => claim.host === host && claim.id === holder)).toBe(true);
      }
    }),
  );
});
