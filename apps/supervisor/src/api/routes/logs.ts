/** The bytes of a daemon's log, as a stream. */
import { Readable } from "node:stream";
import { mayControl } from "../access.ts";
import type { ControlledDaemon } from "../engine.ts";
import { loggerOf } from "../log-tail.ts";
import { Refusal } from "../refusal.ts";
import type { LogAccess } from "../surroundings.ts";
import type { Handlers } from "./handlers.ts";

/** Bytes that wait for a slow client. */
const HIGH_WATER_MARK = 64 * 1024;
/** How long a log that is followed may be silent before the answer starts without a line. In ms. */
export const SILENCE = 100;

/** Resolves when a stream has something to read, waits for it, or has ended; rejects when it cannot be opened. */
const opened = (stream: Readable): Promise<void> =>
  new Promise((resolve, reject) => {
    const silent = setTimeout(resolve, SILENCE);
    stream.once("readable", () => {
      clearTimeout(silent);
      resolve();
    });
    stream.once("error", reject);
  });

const requireLog = (daemon: ControlledDaemon): void => {
  const logger = loggerOf(daemon);
  if (logger !== undefined) {
    throw new Refusal(
      "not-applicable",
      `${logger} writes the log of "${daemon.id}"; look where that program writes it`,
    );
  }
  if (daemon.file.definition?.output !== "discard" || daemon.terms?.definition.output === "log") return;
  throw new Refusal(
    "not-applicable",
    `"${daemon.id}" has no log; write output=log in ${daemon.file.path} and restart it`,
  );
};

export const logRoutes = ({ readLog }: LogAccess): Handlers<"readLog"> => ({
  async readLog({ engine, caller, subject, query: { lines, since, follow } }) {
    if (lines !== undefined && since !== undefined) {
      throw new Refusal("usage", '"lines" and "since" exclude each other');
    }
    requireLog(subject);
    // The right to read it can end while it is followed.
    const permitted = () => mayControl(engine, caller, subject.key.owner.name);
    const bytes = readLog(subject, { lines, since, follow: follow === "1", permitted });
    const text = Readable.from(bytes, { objectMode: false, highWaterMark: HIGH_WATER_MARK });
    try {
      await opened(text);
      return text;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === "ENOENT" ? "the daemon has not written any output yet" : message;
      throw new Refusal("not-applicable", `the log of "${subject.id}" cannot be read: ${why}`);
    }
  },
});
