/** A log that keeps its lines. */
import type { Logger } from "pino";

type Write = (about: object | string, message?: string) => void;

/** `lines`: each `level message`, with the problem or the error that the line is about. */
export const fakeLog = () => {
  const lines: string[] = [];
  const at =
    (level: string): Write =>
    (about, message) => {
      if (typeof about === "string") return void lines.push(`${level} ${about}`);
      const { problem, err } = about as { problem?: string; err?: Error };
      const detail = problem ?? err?.message;
      lines.push(`${level} ${message}${detail === undefined ? "" : `: ${detail}`}`);
    };
  const log = { info: at("info"), warn: at("warn"), error: at("error") };
  return { lines, log: log as unknown as Pick<Logger, "info" | "warn" | "error"> };
};
