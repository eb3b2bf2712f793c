/** Pager and editor: programs of the caller's choice that use the terminal. */
import { type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { Failure } from "@dmhost/client";

/** How a program ended; `code` is undefined when a signal ended it. */
interface End {
  readonly code: number | undefined;
}

interface ChildProgram {
  readonly input: Writable | null;
  readonly ended: Promise<End>;
}

/** Starts a program that uses the terminal and handles Ctrl-C until it ends. Undefined if it does not exist. */
const start = async (
  command: string,
  args: readonly string[],
  stdio: StdioOptions,
  cwd?: string,
): Promise<ChildProgram | undefined> => {
  const child = spawn(command, args, { stdio, ...(cwd === undefined ? {} : { cwd }) });
  const closed = once(child, "close");
  closed.catch(() => {});
  try {
    await once(child, "spawn");
  } catch {
    return undefined;
  }
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  const ended = closed.then(([code]): End => {
    process.off("SIGINT", ignore);
    return { code: typeof code === "number" ? code : undefined };
  });
  return { input: child.stdin, ended };
};

/** Starts the reader's pager on `input`: $PAGER as a line of sh, else the first of less, more and cat that exists. */
export const startPager = async (
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly input: Writable; readonly ended: Promise<unknown> }> => {
  const stdio: StdioOptions = ["pipe", "inherit", "inherit"];
  const choices: [string, string[]][] = env["PAGER"]
    ? [["/bin/sh", ["-c", env["PAGER"]]]]
    : [
        ["less", []],
        ["more", []],
        ["cat", []],
      ];
  for (const [command, args] of choices) {
    const pager = await start(command, args, stdio);
    if (pager?.input) return { input: pager.input, ended: pager.ended };
  }
  throw new Failure("failed", "cannot show the log: there is no less, more or cat in PATH; set PAGER, or pipe the log");
};

/**
 * Runs $VISUAL, $EDITOR or vi, as a line of sh, on `file`, in `dir`: never in the directory that dmctl was called in,
 * where an editor might read another user's settings.
 */
export const runEditor = async (
  env: Readonly<Record<string, string | undefined>>,
  file: string,
  dir: string,
): Promise<void> => {
  const editor = env["VISUAL"] || env["EDITOR"] || "vi";
  const program = await start("/bin/sh", ["-c", `${editor} "$1"`, "sh", file], "inherit", dir);
  const code = program === undefined ? 127 : (await program.ended).code;
  if (code !== 0) {
    // The shell reports a signal as a code above 128.
    const killed = code === undefined || code > 128;
    const how = killed ? "it was killed" : code === 127 ? "no such program" : `it exited with code ${code}`;
    throw new Failure("failed", `editor "${editor}" failed: ${how}; set VISUAL or EDITOR`);
  }
};
