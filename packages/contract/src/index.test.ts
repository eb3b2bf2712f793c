import { expect, test } from "vitest";
import { MAX_DAEMON_FILE } from "../../../apps/supervisor/src/conf/daemon-file.ts";
import { LONGEST_CONF_FILE } from "./index.ts";

test("both programs know of the same longest conf file", () => {
  expect(LONGEST_CONF_FILE).toBe(MAX_DAEMON_FILE);
});
