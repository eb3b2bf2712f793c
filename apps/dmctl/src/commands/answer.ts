import { Failure, type FailureCode } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";
import { report } from "../failure.ts";
import { json, oneLine } from "../printable.ts";
import { write } from "../session.ts";
import type { Call } from "./command.ts";

/** Prints `value` as JSON with --json, else `text`. Resolves with `code`. */
export const show = async (call: Call, value: unknown, text: string, code: number = EXIT.done): Promise<number> => {
  await write(call.session.output, call.given.has("json") ? json(value) : text);
  return code;
};

/** Prints warnings about conf files. Not with --json, where the answer has them. */
export const warn = async ({ session, given }: Call, warnings: readonly string[]): Promise<void> => {
  if (!given.has("json")) await write(session.errors, warnings.map((text) => `warning: ${oneLine(text)}\n`).join(""));
};

/** Reports each line as a failure, which does not end the command. */
export const complain = async (call: Call, code: FailureCode, lines: readonly string[]): Promise<void> => {
  for (const line of lines) await report(call.session, new Failure(code, oneLine(line)), call.given.has("json"));
};
