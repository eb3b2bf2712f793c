import fc from "fast-check";
import { expect, it } from "vitest";
import { type Hostname, hostname } from "../core/hostname.ts";
import { type Claim, settleClaims } from "./claims.ts";

const HOST = hostname("a.example") as Hostname;
const of = (...ids: string[]): Claim[] => ids.map((id) => ({ host: HOST, id }));

it("a host goes to the daemon whose id sorts first, and stays there", () => {
  expect(settleClaims(of("b/x", "a/y"), new Map()).get(HOST)).toBe("a/y");
  expect(settleClaims(of("a/y", "b/x"), new Map([[HOST, "b/x"]])).get(HOST)).toBe("b/x");
  expect(settleClaims(of("a/y"), new Map([[HOST, "b/x"]])).get(HOST)).toBe("a/y");
});

it("a host that no daemon claims has no holder", () => {
  expect(settleClaims([], new Map([[HOST, "b/x"]])).size).toBe(0);
});

it("holders of hosts do not depend on the order of claims, and a second settlement changes none", () => {
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
