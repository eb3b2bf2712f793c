/** A minimal browser: cookies, forms and file uploads. It does not follow redirects. */
import { type OutgoingHttpHeaders, request } from "node:http";

/** A response; header names are in lower case. */
export interface Visit {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly bytes: Buffer;
  readonly text: string;
}

/** Timeout of a request, in ms. */
const PATIENCE = 30_000;

export class Browser {
  readonly #port: number;
  readonly #host: string;
  readonly #cookies = new Map<string, string>();

  /** @param host name of the site, which is served at 127.0.0.1:`port` */
  constructor(port: number, host: string) {
    this.#port = port;
    this.#host = host;
  }

  get(path: string): Promise<Visit> {
    return this.#send("GET", path, {});
  }

  /** Posts an HTML form. */
  post(path: string, fields: Readonly<Record<string, string>>): Promise<Visit> {
    const body = new URLSearchParams(fields).toString();
    return this.#send("POST", path, { "content-type": "application/x-www-form-urlencoded" }, body);
  }

  postJson(path: string, value: unknown, headers: OutgoingHttpHeaders = {}): Promise<Visit> {
    return this.#send("POST", path, { "content-type": "application/json", ...headers }, JSON.stringify(value));
  }

  /** Posts a form with files, multipart/form-data. */
  async postFiles(path: string, fields: Readonly<Record<string, string | File>>): Promise<Visit> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    const encoded = new Response(form);
    const body = Buffer.from(await encoded.arrayBuffer());
    return this.#send("POST", path, { "content-type": encoded.headers.get("content-type") ?? "" }, body);
  }

  #send(method: string, path: string, more: OutgoingHttpHeaders, body: string | Buffer = ""): Promise<Visit> {
    const cookie = [...this.#cookies].map((pair) => pair.join("=")).join("; ");
    const headers = {
      host: this.#host,
      ...(cookie === "" ? {} : { cookie }),
      ...(method === "POST" ? { "content-length": Buffer.byteLength(body) } : {}),
      ...more,
    };
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.#port, method, path, headers, agent: false, timeout: PATIENCE };
      const sent = request(options, (answer) => {
        for (const line of answer.headers["set-cookie"] ?? []) this.#keep(line);
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const bytes = Buffer.concat(chunks);
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, bytes, text: bytes.toString() });
        });
      });
      sent.on("error", reject);
      sent.on("timeout", () => sent.destroy(new Error(`no answer to ${method} ${path} within ${PATIENCE} ms`)));
      sent.end(body);
    });
  }

  #keep(line: string): void {
    const [pair = ""] = line.split(";");
    const equals = pair.indexOf("=");
    this.#cookies.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
}
