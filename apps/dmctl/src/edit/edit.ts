/** `dmctl edit`: a daemon's file is copied out, edited by the caller as the caller, and sent back to be written. */
import { createInterface } from "node:readline/promises";
import { type Client, Failure } from "@dmhost/client";
import { type ConfFileWritten, EXIT } from "@dmhost/contract";
import { oneLine } from "../printable.ts";
import { type Session, write } from "../session.ts";
import { Draft } from "./draft.ts";

/** Asks until there is an answer; an end of input is a no. */
const agrees = async (session: Session, question: string): Promise<boolean> => {
  const prompt = createInterface({ input: session.input, output: session.errors });
  const ended = new AbortController();
  prompt.once("close", () => ended.abort());
  try {
    for (;;) {
      const answer = await prompt.question(`${question} [Y/n] `, { signal: ended.signal });
      if (/^\s*(y(es)?)?\s*$/i.test(answer)) return true;
      if (/^\s*no?\s*$/i.test(answer)) return false;
    }
  } catch {
    return false;
  } finally {
    prompt.close();
  }
};

/** Adds the path of the author's text to a failure, so that the text is not lost. */
const keeping = (place: string, { code, message, details }: Failure): Failure =>
  new Failure(code, message, [...details, `your text is kept in ${place}`]);

const say = (session: Session, lines: readonly string[]): Promise<void> =>
  write(session.errors, lines.map((line) => `${oneLine(line)}\n`).join(""));

const writtenLines = ({ path, warnings, created }: ConfFileWritten, address: string): string[] => [
  created
    ? `${path} is created; its daemon: dmctl status ${address}`
    : `${path} is written; it takes effect at the next start: dmctl restart ${address}`,
  ...warnings.map((warning) => `warning: ${warning}`),
];

/** Failures after which the text can be edited again, with the question to ask. */
const OFFERS: Readonly<Record<string, string>> = {
  "invalid-file": "Edit again?",
  conflict: "Edit what it says now, with your text below it as comments?",
};

/**
 * Edits the file of one daemon, or creates it. Resolves with the exit code; throws a Failure, which names the draft that it
 * leaves, when the editor fails or the text is not accepted.
 */
export const editFile = async (client: Client, address: string, session: Session): Promise<number> => {
  const params = { address };
  let file = await client.call("readFile", { params });
  const draft = new Draft(address, file.text);
  let text: string | undefined;
  let refused: string | undefined;

  /** One edit. Resolves with lines to print. */
  const round = async (): Promise<readonly string[]> => {
    text = await draft.edit(session.env);
    const isNew = file.fingerprint === "";
    const unchanged = isNew ? `${file.path} is not created` : `${file.path} is unchanged`;
    if (text === undefined && draft.kept !== undefined) throw new Failure("failed", unchanged);
    if (text === undefined || (isNew && text.trim() === "")) return [unchanged];
    if (text === refused) throw new Failure("failed", "the text is as it was when it was refused");
    const body = { text, fingerprint: file.fingerprint };
    return writtenLines(await client.call("writeFile", { params, body }), address);
  };

  /** Resolves if the author edits again, else throws. */
  const offer = async (failure: Failure): Promise<void> => {
    const question = OFFERS[failure.code];
    if (question === undefined || !session.interactive) throw failure;
    await say(session, [failure.message, ...failure.details]);
    if (!(await agrees(session, question))) throw new Failure("failed", "nothing was written");
    refused = text;
    if (failure.code !== "conflict" || text === undefined) return;
    file = await client.call("readFile", { params });
    draft.rebase(file.text, text);
  };

  try {
    for (;;) {
      try {
        const lines = await round();
        draft.remove();
        await say(session, lines);
        return EXIT.done;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        await offer(error);
      }
    }
  } catch (error) {
    if (draft.kept === undefined) {
      draft.remove();
      throw error;
    }
    throw keeping(draft.kept, error instanceof Failure ? error : new Failure("failed", String(error)));
  }
};
