import { Readable, Writable } from "node:stream";
import { runtimeFetch } from "@dmhost/client";
import { dispatch } from "./dispatch.ts";
import type { Session } from "./session.ts";

/** A stream that keeps what is written to it. */
export const collector = () => {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
};

/** Runs one command line, split at blanks, against the supervisor at `socket`. */
export const run = async (socket: string, line: string, changes: Partial<Session> = {}) => {
  const output = collector();
  const errors = collector();
  const session: Session = {
    fetch: runtimeFetch,
    patience: 0,
    uid: process.geteuid?.() ?? 0,
    input: Readable.from([]),
    output: output.stream,
    errors: errors.stream,
    terminal: false,
    interactive: false,
    ...changes,
    env: { PATH: process.env["PATH"], ...changes.env, DMCTL_SOCKET: socket },
  };
  const code = await dispatch(line === "" ? [] : line.split(" "), session);
  return { code, output: output.text(), errors: errors.text() };
};
