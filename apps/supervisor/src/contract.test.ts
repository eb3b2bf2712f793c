import { expect, test } from "vitest";
import { MAX_DAEMON_FILE } from "./conf/daemon-file.ts";
import { LONGEST_CONF_FILE } from "./contract.ts";

test("both programs know of the same longest conf file", () => {
  expect(LONGEST_CONF_FILE).toBe(MAX_DAEMON_FILE);
});
