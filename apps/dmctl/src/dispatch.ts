import { clientAt, Failure } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";
import { type Call, COMMANDS } from "./commands/commands.ts";
import { readInvocation } from "./commands/invocation.ts";
import { findControlSocket } from "./control-socket.ts";
import { EXIT_OF_FAILURE } from "./failure.ts";
import { isReaderGone, type Session, write } from "./session.ts";
import { failureText } from "./status/render.ts";

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
        return clientAt(findControlSocket(session.env, session.uid), session.fetch);
      },
    };
    return await invocation.command.run(call);
  } catch (error) {
    if (isReaderGone(error)) return EXIT.done;
    const failure = error instanceof Failure ? error : new Failure("failed", `a fault of dmctl: ${error}`);
    await write(session.errors, failureText(failure)).catch(() => {});
    return EXIT_OF_FAILURE[failure.code];
  }
};
