/** GET /v1/daemons/:address/log: the bytes of a daemon's log. */
import type { Static } from "typebox";
import { LATEST_TIME, MOST_LOG_LINES } from "../bounds.ts";
import { count, oneOf, optional, request } from "./shapes.ts";

export const LogQuery = request("Which part of the log. `lines` and `since` exclude each other.", {
  lines: optional(
    count("Start with this many of the last lines; without it, with the whole current file.", {
      maximum: MOST_LOG_LINES,
    }),
  ),
  since: optional(
    count(
      "Time in ms since 1970. Start with the first file, rotated files included, that can have a line of that time or later; 0 is all.",
      { maximum: LATEST_TIME },
    ),
  ),
  follow: optional(
    oneOf(["0", "1"], "1: keep the answer open and send new lines, across rotation, until the client leaves."),
  ),
});
export type LogQuery = Static<typeof LogQuery>;
