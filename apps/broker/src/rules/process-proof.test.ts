import { expect, test } from "vitest";
import { processObjection } from "./process-proof.ts";

const account = { uid: 1001, gid: 1002, groups: [1002, 1500] };
const status = (change: Readonly<Record<string, string>> = {}): string =>
  Object.entries({
    Name: "dmhost-shim",
    Uid: "1001\t1001\t1001\t1001",
    Gid: "1002\t1002\t1002\t1002",
    Groups: "1500 ",
    CapInh: "0000000000000000",
    CapPrm: "0000000000000000",
    CapEff: "0000000000000000",
    CapBnd: "0000000000000000",
    CapAmb: "0000000000000000",
    NoNewPrivs: "1",
    ...change,
  })
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join("");

test("a process of the account, of its groups and without capabilities is what was requested", () => {
  expect(processObjection(status(), account)).toBeUndefined();
  expect(processObjection(status({ Groups: "1500 1002 " }), account)).toBeUndefined();
});

test.each([
  [{ Uid: "0\t0\t0\t0" }, "it has the uid 0, not 1001"],
  [{ Uid: "1001\t0\t1001\t1001" }, "it has the uid 0 1001, not 1001"],
  [{ Gid: "0\t0\t0\t0" }, "it has the gid 0, not 1002"],
  [{ Groups: "0 1500 " }, "it has the groups 0 1002 1500, not 1002 1500"],
  [{ Groups: "" }, "it has the groups 1002, not 1002 1500"],
  [{ CapBnd: "00000000a80425fb" }, "it has capabilities (CapBnd 00000000a80425fb)"],
  [{ CapEff: "" }, "it has capabilities (CapEff ?)"],
  [{ NoNewPrivs: "0" }, "no_new_privs is not set"],
])("a process with %j is not: %s", (change, reason) => {
  expect(processObjection(status(change), account)).toBe(reason);
});

test("a status that cannot be read proves nothing", () => {
  expect(processObjection("", account)).toBe("it has the uid , not 1001");
});
