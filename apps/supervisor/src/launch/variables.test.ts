import { expect, it } from "vitest";
import { servicePath } from "./variables.ts";

it("scripts of service directories find dmhost's daemontools programs before the machine's", () => {
  expect(servicePath("/opt/tools")).toBe("/opt/tools:/usr/local/bin:/usr/bin:/bin");
});
