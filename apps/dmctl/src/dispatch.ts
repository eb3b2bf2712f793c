import { Failure } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";
import type { Call } from "./commands/command.ts";
import { readInvocation } from "./commands/invocation.ts";
import { COMMANDS } from "./commands/table.ts";
import { supervisorClient } from "./control-socket.ts";
import { FAILURES, report } from "./failure.ts";
import { isReaderGone, type Session } from "./session.ts";

/** Whether errors are to be JSON, also those of a command line that cannot be read, as that of --json with a value. */
const wantsJson = (words: readonly string[]): boolean => {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? undefined : end).some((word) => /^--json(?:=|$)/.test(word));
};

/** Carries out one command line, given without the program's name. Resolves with the exit code, never rejects. */
export const dispatch = async (words: readonly string[], session: Session): Promise<number> => {
  try {
    const invocation = readInvocation(COMMANDS, words);
    const long = invocation.given.has("long");
    const call: Call = {
      ...invocation,
      id: invocation.ids[0] ?? "",
      session,
      look: { colour: session.terminal && !session.env["NO_COLOR"], reasons: session.terminal || long, long },
      get client() {
        return supervisorClient(session.env, session.uid, session.fetch, session.patience);
      },
    };
    return await invocation.command.run(call);
  } catch (error) {
    if (isReaderGone(error)) return EXIT.done;
    const failure = error instanceof Failure ? error : new Failure("failed", `internal error of dmctl: ${error}`);
    await report(session, failure, wantsJson(words)).catch(() => {});
    return FAILURES[failure.code].exit;
  }
};
