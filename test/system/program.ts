/** Programs that are run to their end, and the patience that tests have with what takes its time. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The checkout that is tested. */
export const CHECKOUT = join(import.meta.dirname, "../..");

/** Where the programs are as `node build.ts` makes them; undefined where those of the checkout are tested as they are. */
const BUILT = process.env["DMHOST_TEST_PROGRAMS"];
const NODE = join(CHECKOUT, "node_modules/.bin/node");
/** The supervisor under test: program and first arguments. */
export const SUPERVISOR: readonly string[] =
  BUILT === undefined
    ? [NODE, join(CHECKOUT, "apps/supervisor/src/app/main.ts")]
    : [join(BUILT, "node"), join(BUILT, "supervisor.js")];
/** The dmctl under test. */
export const DMCTL: readonly string[] =
  BUILT === undefined ? [NODE, join(CHECKOUT, "apps/dmctl/src/main.ts")] : [join(BUILT, "dmctl")];

/** How a program ended; `code` is undefined when a signal ended it. */
export interface Ended {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program is given besides its arguments. */
export interface Surroundings {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly cwd?: string;
}

/** Runs a program to its end, whatever its exit code; rejects when there is no such program. */
export const run = (argv: readonly string[], { env, input = "", cwd = "/" }: Surroundings = {}): Promise<Ended> =>
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

/** Runs a program that has to succeed and gives its output, trimmed. */
export const succeed = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout.trim();
};

/** How many times longer than on a usual machine tests wait, where one is many times slower. */
export const PATIENCE = Number(process.env["DMHOST_TEST_PATIENCE"] ?? 1);

/**
 * Asks again and again until the answer is neither undefined nor false, for at most `seconds` times PATIENCE; gives that
 * answer.
 */
export const until = async <T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  seconds = 20,
): Promise<T> => {
  for (const end = performance.now() + seconds * 1000 * PATIENCE; ; ) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(20);
  }
};
