/** wrk: closed-loop requests over kept connections. */
import { join } from "node:path";
import { run } from "../system/program.ts";

interface Wrk {
  /** Answers, of any status. */
  readonly answers: number;
  readonly perSecond: number;
  /** Answers other than 2xx and 3xx, and connections that failed. */
  readonly failed: number;
}

/** Runs wrk with 16 connections for `seconds`. */
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

/** Answers of one of two hosts in a slice of time. */
export interface Slice {
  /** 0 or 1. */
  readonly host: number;
  readonly answers: number;
}

/**
 * Runs wrk with 16 connections for `seconds`, alternating between two hosts every `length` ms.
 * @throws if an answer is not 2xx or 3xx
 */
export const runAlternately = async (
  port: number,
  hosts: readonly [string, string],
  path: string,
  seconds: number,
  length: number,
): Promise<Slice[]> => {
  const flags = ["-t", "1", "-c", "16", "-d", `${seconds}s`, "-s", join(import.meta.dirname, "alternate.lua")];
  const words = [...flags, `http://127.0.0.1:${port}${path}`, "--", String(length), ...hosts];
  const { code, stdout, stderr } = await run(["/usr/bin/wrk", ...words]);
  const text = /^slices (.*)$/m.exec(stdout)?.[1];
  if (code !== 0 || text === undefined || stdout.includes("Non-2xx")) throw new Error(`wrk: ${stdout} ${stderr}`);
  return text.split(" ").map((slice) => {
    const [host = 0, answers = 0] = slice.split(":").map(Number);
    return { host, answers };
  });
};
