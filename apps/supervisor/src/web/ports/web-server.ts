/** The web server as web/ needs it: it tries vhosts and brings them into force. */

/** The web server's answer to a request. */
export type Verdict =
  | { readonly kind: "accepted" }
  /** Nginx does not accept the vhosts. `line` is the line of the text that the complaint names, from 1. */
  | { readonly kind: "refused"; readonly complaint: string; readonly line: number | undefined }
  /** The request could not be carried out: this says nothing about the vhosts. */
  | { readonly kind: "failed"; readonly reason: string };

/** What clients are served by. */
export interface InForce {
  /** The vhosts, as they were given to `install`; "" where there are none. */
  readonly text: string;
  /** False after a reload that did not come through: some workers may have other vhosts. */
  readonly isCertain: boolean;
}

/** One request at a time. No promise rejects. */
export interface WebServer {
  /** Whether it takes requests at the moment. */
  readonly isConnected: boolean;
  /** Calls `listener` each time that it takes requests again. There is one listener. */
  onConnect(listener: () => void): void;
  /** Whether Nginx accepts these vhosts in place of those in force. Nothing changes. */
  try(text: string): Promise<Verdict>;
  /** Brings these vhosts into force if Nginx accepts them; accepted: no worker from before the reload accepts clients. */
  install(text: string): Promise<Verdict>;
  inForce(): InForce;
}
