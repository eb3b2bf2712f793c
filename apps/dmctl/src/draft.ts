/**
 * `dmctl edit`: a daemon's file is copied out, edited by the caller as the caller in a private place, and sent back;
 * the caller's editor never touches a path of the owner's (spec/security.md, 16).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { type ConfFile, type ConfFileWritten, EXIT } from "@dmhost/supervisor/contract";
import { runEditor } from "./child-program.ts";
import { apiPath, type Client } from "./client.ts";
import { Failure } from "./failure.ts";
import { oneLine } from "./printable.ts";
import { type Session, write } from "./session.ts";

/** Asks until there is an answer; an end of input is a no. */
const wantsToEditAgain = async (session: Session): Promise<boolean> => {
  const prompt = createInterface({ input: session.input, output: session.errors });
  const ended = new AbortController();
  prompt.once("close", () => ended.abort());
  try {
    for (;;) {
      const answer = await prompt.question("Edit again? [Y/n] ", { signal: ended.signal });
      if (/^\s*(y(es)?)?\s*$/i.test(answer)) return true;
      if (/^\s*no?\s*$/i.test(answer)) return false;
    }
  } catch {
    return false;
  } finally {
    prompt.close();
  }
};

/** The failure with the place of the draft added to it: nothing that was typed is lost. */
const keeping = (draft: string, error: unknown): Failure => {
  const failure = error instanceof Failure ? error : new Failure(EXIT.failed, String(error));
  return new Failure(
    failure.exit,
    failure.message,
    [...failure.details, `your text is kept in ${draft}`],
    failure.code,
  );
};

/**
 * Edits the file of one daemon. Resolves with the exit code; throws a Failure, which names the draft that it leaves,
 * when the editor fails or the text is not accepted.
 */
export const editFile = async (client: Client, address: string, session: Session): Promise<number> => {
  const path = apiPath("daemons", address, "file");
  const before = await client.ask<ConfFile>({ path });
  const dir = mkdtempSync(join(tmpdir(), "dmctl-"));
  const draft = join(dir, `${address.replace(/[^\w.-]/g, "_")}.conf`);
  writeFileSync(draft, before.text, { mode: 0o600, flag: "wx" });
  try {
    for (let sent = before.text; ; ) {
      await runEditor(session.env, draft, dir);
      const text = readFileSync(draft, "utf8");
      if (text === before.text) {
        rmSync(dir, { recursive: true });
        await write(session.errors, `${oneLine(before.path)} is unchanged\n`);
        return EXIT.done;
      }
      try {
        if (text === sent) throw new Failure(EXIT.failed, "the text is as it was when it was refused");
        sent = text;
        const body: ConfFile = { path: before.path, text };
        const written = await client.ask<ConfFileWritten>({ method: "PUT", path, body, settles: true });
        rmSync(dir, { recursive: true });
        const lines = [
          `${written.path} is written; it takes effect at the next start: dmctl restart ${address}`,
          ...written.warnings.map((warning) => `warning: ${warning}`),
        ];
        await write(session.errors, lines.map((line) => `${oneLine(line)}\n`).join(""));
        return EXIT.done;
      } catch (error) {
        if (!(error instanceof Failure) || error.code !== "invalid-file" || !session.interactive) throw error;
        await write(session.errors, `${[error.message, ...error.details].map(oneLine).join("\n")}\n`);
        if (!(await wantsToEditAgain(session))) throw new Failure(EXIT.failed, "the file is as it was before");
      }
    }
  } catch (error) {
    throw keeping(draft, error);
  }
};
