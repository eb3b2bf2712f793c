/**
 * The web server, through nginx/site-installer, which runs beside Nginx as its account: it connects to a socket of ours and
 * does one request at a time. A request is a line, the vhosts are in a file; both are where only the supervisor writes.
 *
 *     <sites>/offered/installer.sock  the installer says `ready`; takes `try ID` or `install ID`; answers `accepted`,
 *                                     `refused COMPLAINT`, `failed REASON`
 *     <sites>/offered/listening       written each time that the socket listens: an installer without a connection waits for it
 *     <sites>/offered/sites.conf      the vhosts of the request; the first line is `# generation ID`
 *     <sites>/accepted/served         the installer's: the vhosts that all workers of Nginx have
 *     <sites>/accepted/reloading      exists during a reload, and after one that failed
 */

import { chmodSync, chownSync, closeSync, existsSync, lstatSync, mkdirSync, openSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { messageOf } from "../../core/error-message.ts";
import type { InForce, Verdict, WebServer } from "../../web/ports/web-server.ts";
import { digestOf, readForeignFile, replaceFile } from "../files/whole-file.ts";
import { privileged } from "../kernel/privileges.ts";

/** Bytes of a file that the installer leaves. */
const LARGEST_SITES = 64 << 20;
/** Characters of an answer; those that are shown of a complaint. */
const LONGEST_ANSWER = 8192;
const LONGEST_COMPLAINT = 400;
/** Until a request counts as failed, in ms. */
const PATIENCE = 300_000;
/** Until a socket that could not be made is tried again, in ms. */
const LATER = 5000;
/** The line of the request's file that Nginx complains about; the vhosts begin in the second. */
const LINE = /\/accepted\/sites\.conf:(\d+)$/;

/** The prefix of a complaint of Nginx, which differs each time. */
const STAMP = /^.*?\[emerg\] (?:\d+#\d+: )?/;

const verdictOf = (answer: string): Verdict => {
  const [word = "", ...rest] = answer.split(" ");
  const text = rest.join(" ").replace(/\p{C}/gu, "?");
  if (word === "accepted") return { kind: "accepted" };
  if (word === "failed") return { kind: "failed", reason: text.slice(0, LONGEST_COMPLAINT) };
  if (word !== "refused") return { kind: "failed", reason: "the site installer's answer is invalid" };
  const line = LINE.exec(text)?.[1];
  return {
    kind: "refused",
    complaint: text.replace(STAMP, "").slice(0, LONGEST_COMPLAINT) || "nginx gives no reason",
    line: line === undefined ? undefined : Number(line) - 1,
  };
};

export class SiteInstaller implements WebServer {
  readonly #offered: string;
  readonly #accepted: string;
  readonly #report: (reason: string) => void;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #answer: ((verdict: Verdict) => void) | undefined;
  #listener = (): void => undefined;

  /** @param report called with the reason where its socket cannot be made, which is tried again */
  constructor(sitesDir: string, report: (reason: string) => void) {
    this.#offered = join(sitesDir, "offered");
    this.#accepted = join(sitesDir, "accepted");
    this.#report = report;
    this.#listen();
  }

  get isConnected(): boolean {
    return this.#socket !== undefined;
  }

  onConnect(listener: () => void): void {
    this.#listener = listener;
  }

  try(text: string): Promise<Verdict> {
    return this.#ask("try", text);
  }

  install(text: string): Promise<Verdict> {
    return this.#ask("install", text);
  }

  inForce(): InForce {
    const text = readForeignFile(join(this.#accepted, "served"), LARGEST_SITES);
    return { text: text.slice(text.indexOf("\n") + 1), isCertain: !existsSync(join(this.#accepted, "reloading")) };
  }

  #listen(): void {
    const again = (error: unknown): void => {
      this.#report(messageOf(error));
      setTimeout(() => this.#listen(), LATER).unref();
    };
    try {
      mkdirSync(this.#offered, { recursive: true, mode: 0o755 });
      chmodSync(this.#offered, 0o755);
      const path = join(this.#offered, "installer.sock");
      rmSync(path, { force: true });
      const { uid, gid } = lstatSync(this.#accepted);
      // By way of a descriptor: the path may be longer than an address.
      const directory = openSync(this.#offered, "r");
      this.#server = createServer((socket) => this.#connect(socket))
        .on("error", (error) => {
          closeSync(directory);
          again(error);
        })
        .listen(`/proc/self/fd/${directory}/installer.sock`, () => {
          try {
            // In this order: a root without CAP_FOWNER cannot change it afterwards.
            chmodSync(path, 0o600);
            if (privileged) chownSync(path, uid, gid);
            replaceFile(join(this.#offered, "listening"), "listening\n", 0o644);
          } catch (error) {
            this.#server?.close();
            again(error);
          }
        });
    } catch (error) {
      again(error);
    }
  }

  /** A connection counts once it says `ready`: a waiting installer only checks whether the supervisor listens. */
  #connect(socket: Socket): void {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("data", (chunk: string) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        if (this.#socket === socket) this.#settle(verdictOf(line));
        else if (line === "ready") this.#take(socket);
        else socket.destroy();
      } else if (text.length > LONGEST_ANSWER) socket.destroy();
    });
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#settle({ kind: "failed", reason: "the site installer disconnected" });
    });
  }

  /** The latest connection counts: an installer that was killed connects again. */
  #take(socket: Socket): void {
    this.#socket?.destroy();
    this.#socket = socket;
    this.#settle({ kind: "failed", reason: "the site installer restarted" });
    this.#listener();
  }

  #settle(verdict: Verdict): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(verdict);
  }

  async #ask(verb: "try" | "install", text: string): Promise<Verdict> {
    const socket = this.#socket;
    if (!socket) return { kind: "failed", reason: "the site installer is not connected" };
    const id = digestOf(text).slice(0, 16);
    try {
      replaceFile(join(this.#offered, "sites.conf"), `# generation ${id}\n${text}`, 0o644);
    } catch (error) {
      const reason = messageOf(error);
      return { kind: "failed", reason: `the vhosts cannot be written for the web server: ${reason}` };
    }
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    this.#answer = resolve;
    // The end of the connection is the answer.
    const timer = setTimeout(() => socket.destroy(), PATIENCE);
    socket.write(`${verb} ${id}\n`);
    const verdict = await promise;
    clearTimeout(timer);
    return verdict;
  }
}
