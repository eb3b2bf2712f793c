import type { InForce, Verdict, WebServer } from "./web-server.ts";

/** A web server of plain data: `judge` says what Nginx makes of a text, `fault` what stands in the way of a request. */
export class FakeWebServer implements WebServer {
  isConnected = false;
  /** The texts of all requests, oldest first. */
  readonly requests: { readonly verb: "try" | "install"; readonly text: string }[] = [];
  reloads = 0;
  judge: (text: string) => Verdict = () => ({ kind: "accepted" });
  /** Reason why the next requests fail, if they do. A reload that fails leaves `isCertain` false. */
  fault: { readonly reason: string; readonly reload: boolean } | undefined;
  #inForce: InForce = { text: "", isCertain: true };
  #listener = (): void => undefined;

  onConnect(listener: () => void): void {
    this.#listener = listener;
  }

  connect(): void {
    this.isConnected = true;
    this.#listener();
  }

  disconnect(): void {
    this.isConnected = false;
  }

  /** As if another supervisor, or a start of Nginx, had left this. */
  leave(text: string, isCertain = true): void {
    this.#inForce = { text, isCertain };
  }

  try(text: string): Promise<Verdict> {
    return this.#answer("try", text, () => ({ kind: "accepted" }));
  }

  install(text: string): Promise<Verdict> {
    return this.#answer("install", text, () => {
      this.reloads += 1;
      if (this.fault) {
        this.#inForce = { ...this.#inForce, isCertain: false };
        return { kind: "failed", reason: this.fault.reason };
      }
      this.#inForce = { text, isCertain: true };
      return { kind: "accepted" };
    });
  }

  inForce(): InForce {
    return this.#inForce;
  }

  async #answer(verb: "try" | "install", text: string, accept: () => Verdict): Promise<Verdict> {
    if (!this.isConnected) return { kind: "failed", reason: "the web server is not connected" };
    this.requests.push({ verb, text });
    // The answer comes later.
    await Promise.resolve();
    if (this.fault && !this.fault.reload) return { kind: "failed", reason: this.fault.reason };
    const verdict = this.judge(text);
    return verdict.kind === "accepted" ? accept() : verdict;
  }
}
