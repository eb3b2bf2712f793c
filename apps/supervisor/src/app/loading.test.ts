import { expect, test } from "vitest";
import type { RescanReport } from "../core/rescan-report.ts";
import { Loading } from "./loading.ts";

const make = () => {
  const rescans: (readonly string[])[] = [];
  const rescan = (owners: readonly string[], isRequested = true): RescanReport => {
    expect(isRequested).toBe(false);
    rescans.push(owners);
    return { found: [], started: [], changed: [], removed: [], problems: [], warnings: [] };
  };
  return { loading: new Loading({ rescan }), rescans };
};

test("the daemons of owners that a request concerns are read at once, and only the first time", async () => {
  const { loading, rescans } = make();
  await loading.known(["amy", "bob"]);
  await loading.known(["amy", "bob"]);
  await loading.known(["bob", "carol"]);
  expect(rescans).toEqual([["amy", "bob"], ["carol"]]);
});

test("a request that concerns all owners waits until all daemons are known", async () => {
  const { loading, rescans } = make();
  let answered = false;
  const request = loading.known(undefined).then(() => {
    answered = true;
  });
  await loading.known(["amy"]);
  expect(answered).toBe(false);
  loading.end();
  await request;
  await loading.known(["bob"]);
  expect(rescans).toEqual([["amy"]]);
});
