/** A client of the control API that can send invalid requests. */
import { request } from "node:http";
import { PATIENCE } from "./program.ts";

/** A response; `body` is parsed if it is JSON, else text. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Timeout of a request, in ms. */
const LONGEST = 20_000 * PATIENCE;

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** Sends one request over a new connection as this process's account; `body` is sent as JSON unless it is a string. */
export const ask = (socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const sent = request({ socketPath, method, path, headers, agent: false, timeout: LONGEST }, (answer) => {
      let received = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        received += chunk;
      });
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: parsed(received) }));
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error(`no answer to ${method} ${path} within ${LONGEST} ms`)));
    sent.end(text);
  });
