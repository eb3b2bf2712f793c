/** A site of a daemon, as values that can stand in the web server's configuration. */
import type { Hostname } from "./hostname.ts";

declare const checked: unique symbol;

/** An absolute path that can stand between quotes in Nginx's configuration. */
export type SitePath = string & { readonly [checked]: "path" };
/** Name of a file in a directory: no slash and no character that is special to Nginx. */
export type IndexName = string & { readonly [checked]: "index" };

/** Handlers for requests that match no file. */
export const APPS = ["php", "fastcgi", "http", "static"] as const;
export type App = (typeof APPS)[number];

/** What all kinds of sites have. */
interface Common {
  /** `<owner>/<name>` of the daemon. */
  readonly id: string;
  readonly hosts: readonly Hostname[];
  /** Largest body of a request, in bytes. */
  readonly maxBody: number;
  /** Directory of the logs of its owner's hosts. */
  readonly logs: SitePath;
}
export type Site = Common &
  (
    | {
        readonly app: "php";
        readonly docroot: SitePath;
        readonly socket: SitePath;
        readonly index: readonly IndexName[];
      }
    | { readonly app: "static"; readonly docroot: SitePath; readonly index: readonly IndexName[] }
    | { readonly app: "fastcgi" | "http"; readonly docroot: SitePath | undefined; readonly socket: SitePath }
  );

/** Longest path. One character may take three bytes, and Nginx takes no word of more than 4096. */
export const LONGEST_PATH = 1024;
/** Nginx expands variables at `$`, and has no way to escape it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNQUOTABLE = /[\u0000-\u001f\u007f$]/;

/** Normalizes a path: no `//`, no `/./`, no slash at the end; undefined where it must not be used. */
export const sitePath = (text: string): SitePath | undefined => {
  if (!text.startsWith("/") || text.length > LONGEST_PATH || UNQUOTABLE.test(text)) return undefined;
  const segments = text.split("/").filter((segment) => segment !== "" && segment !== ".");
  return segments.includes("..") ? undefined : (`/${segments.join("/")}` as SitePath);
};

/** Validates a file name; undefined where it is not a plain one. */
export const indexName = (text: string): IndexName | undefined =>
  /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(text) ? (text as IndexName) : undefined;

/** How one of a daemon's sites stands. Paths of its logs are undefined where it is refused. */
export interface HostStanding {
  readonly name: Hostname;
  readonly state: "published" | "pending" | "refused";
  readonly reason: string;
  readonly url: string;
  /** `trouble`: why its owner cannot read them; "" where they can. */
  readonly logs: { readonly access: string; readonly error: string; readonly trouble: string } | undefined;
}
