import type { FakeWebServer } from "./web-server.fake.ts";
import type { Verdict } from "./web-server.ts";

/** How Nginx complains: about a line of its configuration, about a file, or about nothing in particular. */
export type Complaint = "line" | "file" | "vague";

/**
 * Has a fake web server refuse each text that contains one of the markers of `bad`, as Nginx does: with a complaint about the
 * first one in the text.
 */
export const refuse = (
  server: FakeWebServer,
  bad: ReadonlyMap<string, Complaint>,
  errno = "21: Is a directory",
): void => {
  server.judge = (text): Verdict => {
    const [first] = [...bad]
      .map(([marker, complaint]) => ({ marker, complaint, at: text.indexOf(marker) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at);
    if (!first) return { kind: "accepted" };
    const { marker, complaint, at } = first;
    if (complaint === "line") {
      const line = text.slice(0, at).split("\n").length;
      return { kind: "refused", complaint: `[emerg] unknown directive in accepted/sites.conf:${line + 1}`, line };
    }
    const about = complaint === "file" ? `open() "${marker}" failed (${errno})` : "could not build the hash";
    return { kind: "refused", complaint: `[emerg] ${about}`, line: undefined };
  };
};
