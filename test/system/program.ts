/** Runs programs to their end, and polls for conditions. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The checkout under test. */
export const CHECKOUT = join(import.meta.dirname, "../..");

/** Directory of the programs that `node build.ts` makes; undefined to test the sources of the checkout. */
const BUILT = process.env["DMHOST_TEST_PROGRAMS"];
const NODE = join(CHECKOUT, "node_modules/.bin/node");
/** The supervisor under test: program and first arguments. */
export const SUPERVISOR: readonly string[] =
  BUILT === undefined
    ? [NODE, join(CHECKOUT, "apps/supervisor/src/app/main.ts")]
    : [join(BUILT, "node"), join(BUILT, "supervisor.cjs")];
/** The dmctl under test. */
export const DMCTL: readonly string[] =
  BUILT === undefined ? [NODE, join(CHECKOUT, "apps/dmctl/src/main.ts")] : [join(BUILT, "dmctl")];

/** Result of a program; `code` is undefined when a signal ended it. */
export interface Ended {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of run(). */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly cwd?: string;
}

/** Runs a program to its end, with any exit code; rejects when it cannot be started. */
export const run = (argv: readonly string[], { env, input = "", cwd = "/" }: RunOptions = {}): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { env: env ?? { PATH: process.env["PATH"] ?? "" }, cwd });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? undefined, stdout, stderr }));
  });

/** Runs a program and returns its trimmed standard output; rejects when it fails. */
export const succeed = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout.trim();
};

/** Factor by which tests wait longer, for slow machines. */
export const PATIENCE = Number(process.env["DMHOST_TEST_PATIENCE"] ?? 1);

/** Errors for a file that is not there yet, or a process that is no more. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ESRCH"]);

/**
 * Calls `ask` every 20 ms until its result is neither undefined nor false, and returns that result; an absent file or process
 * counts as no result. Throws with `what`, a noun phrase, after `seconds` times PATIENCE.
 */
export const until = async <T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  seconds = 20,
): Promise<T> => {
  for (const end = performance.now() + seconds * 1000 * PATIENCE; ; ) {
    let absence: unknown;
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      if (!ABSENT.has((error as NodeJS.ErrnoException).code)) throw error;
      absence = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`, { cause: absence });
    await sleep(20);
  }
};
