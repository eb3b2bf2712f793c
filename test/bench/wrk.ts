/** wrk: requests as fast as they are answered, over connections that are kept. */
import { run } from "../system/program.ts";

export interface Wrk {
  /** Answers, of any status. */
  readonly answers: number;
  readonly perSecond: number;
  /** Answers other than 2xx and 3xx, and connections that failed. */
  readonly failed: number;
}

/** Runs it with 16 connections for `seconds`. */
export const runWrk = async (port: number, host: string, path: string, seconds: number): Promise<Wrk> => {
  const flags = ["-t", "1", "-c", "16", "-d", `${seconds}s`, "-H", `Host: ${host}`];
  const { code, stdout, stderr } = await run(["/usr/bin/wrk", ...flags, `http://127.0.0.1:${port}${path}`]);
  const answers = /(\d+) requests in/.exec(stdout)?.[1];
  const perSecond = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  if (code !== 0 || answers === undefined || perSecond === undefined) throw new Error(`wrk: ${stdout} ${stderr}`);
  const other = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)?.slice(1).map(Number) ?? [];
  return {
    answers: Number(answers),
    perSecond: Number(perSecond),
    failed: errors.reduce((sum, count) => sum + count, other),
  };
};
