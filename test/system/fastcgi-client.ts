/** A FastCGI 1.0 client for one request at a time. */
import { createConnection } from "node:net";

const BEGIN_REQUEST = 1;
const END_REQUEST = 3;
const PARAMS = 4;
const STDIN = 5;
const STDOUT = 6;
const STDERR = 7;

const record = (type: number, content: Buffer): Buffer => {
  const head = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 0xff, 0, 0]);
  return Buffer.concat([head, content]);
};

const lengthOf = (bytes: Buffer): Buffer => {
  if (bytes.length < 128) return Buffer.from([bytes.length]);
  const four = Buffer.alloc(4);
  four.writeUInt32BE(bytes.length | 0x8000_0000, 0);
  return four;
};

const parameters = (values: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat(
    Object.entries(values).flatMap(([name, value]) => {
      const [left, right] = [Buffer.from(name), Buffer.from(value)];
      return [lengthOf(left), lengthOf(right), left, right];
    }),
  );

/** Joins the records of one answer. `ended`: END_REQUEST was received. */
const readRecords = (bytes: Buffer): { text: string; errors: string; ended: boolean } => {
  const parts: Record<number, Buffer[]> = { [STDOUT]: [], [STDERR]: [] };
  let ended = false;
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 4);
    const type = bytes.readUInt8(at + 1);
    parts[type]?.push(bytes.subarray(at + 8, at + 8 + length));
    ended ||= type === END_REQUEST;
    at += 8 + length + bytes.readUInt8(at + 6);
  }
  const textOf = (type: number): string => Buffer.concat(parts[type] ?? []).toString();
  return { text: textOf(STDOUT), errors: textOf(STDERR), ended };
};

/** Answer of an application: header lines and body. */
export interface Page {
  readonly head: string;
  readonly body: string;
}

/** A request; `form` (urlencoded, at most 65535 bytes) makes it a POST. */
export interface Request {
  /** Path of the script's file. */
  readonly file: string;
  /** Path below the site. */
  readonly path: string;
  readonly query?: string;
  readonly form?: string;
  /** Further parameters; they override those of the fields above. */
  readonly more?: Readonly<Record<string, string>>;
}

/**
 * Requests a script's page from the application at `socket`; returns its body. Rejects with the error of the connection, or
 * when the application closes it before the answer is complete.
 */
export const askForPage = async (socket: string, script: string, query = ""): Promise<string> =>
  (await requestPage(socket, { file: script, path: "/page.php", query })).body;

/** Sends one request to the application at `socket`. Rejects as askForPage does. */
export const requestPage = (socket: string, { file, path, query = "", form, more = {} }: Request): Promise<Page> =>
  new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const connection = createConnection(socket);
    connection.on("error", reject);
    connection.on("data", (chunk: Buffer) => received.push(chunk));
    connection.on("close", () => {
      const { text, errors, ended } = readRecords(Buffer.concat(received));
      const end = text.indexOf("\r\n\r\n");
      if (ended && end >= 0) resolve({ head: text.slice(0, end), body: text.slice(end + 4) });
      else reject(new Error(`no complete answer from ${socket}: ${JSON.stringify(text)} ${errors}`));
    });
    const values: Record<string, string> = {
      GATEWAY_INTERFACE: "CGI/1.1",
      SERVER_PROTOCOL: "HTTP/1.1",
      REQUEST_METHOD: form === undefined ? "GET" : "POST",
      REDIRECT_STATUS: "200",
      SCRIPT_FILENAME: file,
      SCRIPT_NAME: path,
      REQUEST_URI: `${path}?${query}`,
      QUERY_STRING: query,
      CONTENT_TYPE: form === undefined ? "" : "application/x-www-form-urlencoded",
      CONTENT_LENGTH: form === undefined ? "" : String(Buffer.byteLength(form)),
      ...more,
    };
    connection.write(
      Buffer.concat([
        record(BEGIN_REQUEST, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0])),
        record(PARAMS, parameters(values)),
        record(PARAMS, Buffer.alloc(0)),
        ...(form === undefined ? [] : [record(STDIN, Buffer.from(form))]),
        record(STDIN, Buffer.alloc(0)),
      ]),
    );
  });
