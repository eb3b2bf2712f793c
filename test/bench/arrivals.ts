/** Open-loop load: requests at a fixed rate, independent of earlier answers, each on a new connection. */
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** One request. Times are in ms, to a tenth, since the first was due. `status` 0 means no answer; `start` then says why. */
export interface Arrival {
  readonly number: number;
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly status: number;
  /** The beginning of the body. */
  readonly start: string;
}

/** The requests to send. With `form` they are POSTs; it returns the body for the number of a request. */
export interface Load {
  readonly port: number;
  readonly path: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly form?: (number: number) => string;
  /** Returns the host of a request. */
  readonly host?: (number: number) => string;
}

/** Timeout of a request, in ms. */
const PATIENCE = 15_000;
/** Characters of a body that are kept. */
const START = 80;

const send = ({ port, path, form, host }: Load, number: number, origin: number): Promise<Arrival> =>
  new Promise((resolve) => {
    const clock = (): number => Math.round((performance.now() - origin) * 10) / 10;
    const sentAt = clock();
    let status = 0;
    let start = "";
    const done = (): void => resolve({ number, sentAt, answeredAt: clock(), status, start });
    const failed = (error: Error): void => {
      status = 0;
      start = error.message;
      done();
    };
    const body = form?.(number);
    const headers = {
      connection: "close",
      ...(host && { host: host(number) }),
      ...(body !== undefined && {
        "content-type": "application/x-www-form-urlencoded",
        "content-length": Buffer.byteLength(body),
      }),
    };
    const method = body === undefined ? "GET" : "POST";
    const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false, timeout: PATIENCE });
    sent.on("response", (answer) => {
      status = answer.statusCode ?? 0;
      answer.setEncoding("utf8").on("data", (text: string) => {
        if (start.length < START) start = (start + text).slice(0, START);
      });
      answer.on("error", failed);
      answer.on("end", done);
    });
    sent.on("timeout", () => sent.destroy(new Error(`no answer within ${PATIENCE} ms`)));
    sent.on("error", failed);
    sent.end(body);
  });

/**
 * Sends all requests and waits for the last answer. `origin` is the time of the first one (performance.now).
 * @param goes whether more are sent
 */
export const arrive = async (load: Load, origin: number, goes: () => boolean = () => true): Promise<Arrival[]> => {
  const total = load.perSecond * load.seconds;
  const all: Promise<Arrival>[] = [];
  while (all.length < total && goes()) {
    const due = Math.min(total, Math.floor(((performance.now() - origin) / 1000) * load.perSecond) + 1);
    while (all.length < due) all.push(send(load, all.length, origin));
    await sleep(1);
  }
  return Promise.all(all);
};
