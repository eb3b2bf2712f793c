import { request } from "node:http";
import { text } from "node:stream/consumers";
import type { UnixFetch } from "./unix-fetch.ts";

/** `UnixFetch` for Node, whose own `fetch` reaches no UNIX socket. */
export const nodeFetch: UnixFetch = (url, { unix, method, headers, body = "", signal }) =>
  new Promise((resolve, reject) => {
    const { pathname, search, host } = new URL(url);
    const length = String(Buffer.byteLength(body));
    const outgoing = request({
      socketPath: unix,
      method,
      path: `${pathname}${search}`,
      headers: { ...headers, host, "content-length": length },
      signal,
      agent: false,
    });
    outgoing.once("error", reject);
    outgoing.once("response", (incoming) => {
      // The reader of the body gets its errors; without this listener an unread body would end the process.
      incoming.on("error", () => {});
      resolve({ status: incoming.statusCode ?? 0, body: incoming, text: () => text(incoming) });
    });
    outgoing.end(body);
  });
