import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { machine, rulesOf } from "./policy.fake.ts";
import { type Policy, resolvePolicy } from "./policy.ts";
import type { Rule, Subject } from "./policy-rules.ts";

describe("any policy", () => {
  const accounts = machine("root:0 toor:0 a:1:10 b:2:10 c:3:20 d:4:30 nobody:65534", "g:10:d h:20:a,root,toor i:40:");
  const subject: fc.Arbitrary<Subject> = fc.record({
    kind: fc.constantFrom("user" as const, "group" as const),
    name: fc.constantFrom("root", "toor", "a", "b", "c", "d", "nobody", "g", "h", "i", "none"),
  });
  const rule: fc.Arbitrary<Rule> = fc.record({
    line: fc.nat(99),
    left: subject,
    right: fc.array(subject, { maxLength: 3 }),
  });
  const rules = fc.array(rule, { maxLength: 6 });
  const anybody = [...accounts.users.keys(), "none", ""];
  const { settings } = rulesOf("");
  const of = (runsAs: readonly Rule[], manages: readonly Rule[]): Policy =>
    resolvePolicy({ settings, runsAs, manages, hosts: [], limits: [], images: [] }, accounts).policy;

  it("any policy agrees with itself, and gives uid 0 to root alone", () => {
    fc.assert(
      fc.property(rules, rules, (runsAs, manages) => {
        const policy = of(runsAs, manages);
        for (const owner of policy.owners()) {
          expect(
            policy.known(owner) && policy.mayRunAs(owner, owner).allowed && policy.mayManage(owner, owner).allowed,
          ).toBe(true);
          expect(policy.paths(owner)).toBeDefined();
        }
        for (const caller of anybody) {
          expect(policy.manageable(caller)).toEqual(
            policy.owners().filter((owner) => policy.mayManage(caller, owner).allowed),
          );
          for (const other of anybody) {
            const runs = policy.mayRunAs(caller, other);
            if (runs.allowed) expect(policy.owners()).toContain(caller);
            if (caller === "root") continue;
            expect(runs.allowed && accounts.users.get(other)?.uid === 0).toBe(false);
            expect(runs.line !== undefined).toBe(runs.allowed);
            const managed = policy.mayManage(caller, other);
            expect(managed.line !== undefined).toBe(managed.allowed);
            if (managed.allowed) expect(policy.known(caller)).toBe(true);
          }
        }
      }),
    );
  });

  it("an additional rule removes no right from any policy, and [manages] grants no run-as", () => {
    fc.assert(
      fc.property(rules, rules, rule, rule, (runsAs, manages, oneMore, another) => {
        const before = of(runsAs, manages);
        const after = of([...runsAs, oneMore], [...manages, another]);
        for (const left of anybody) {
          for (const right of anybody) {
            if (before.mayRunAs(left, right).allowed) expect(after.mayRunAs(left, right).allowed).toBe(true);
            if (before.mayManage(left, right).allowed) expect(after.mayManage(left, right).allowed).toBe(true);
            expect(of(runsAs, []).mayRunAs(left, right)).toEqual(before.mayRunAs(left, right));
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});
