/** The table of all endpoints of the control API: method, path, access, parameters and answer. */
import type { Static, TSchema } from "typebox";
import { LONGEST_CONF_FILE } from "./bounds.ts";
import { type EndpointName, ROUTES, type Route } from "./routes.ts";
import { ConfFile, ConfFileDraft, ConfFileWritten } from "./schema/conf-file.ts";
import { DaemonList, DaemonListQuery, DaemonStatus } from "./schema/daemons.ts";
import { Explanation } from "./schema/explanation.ts";
import { StateExport } from "./schema/export.ts";
import { Health } from "./schema/health.ts";
import { ImageAcceptance, ImageAccepted, ImageList } from "./schema/images.ts";
import { LogQuery } from "./schema/logs.ts";
import { KillRequest, KillResult, Outcome, RescanResult, ScaleRequest } from "./schema/outcomes.ts";
import { PolicyAnswer, PolicyQuery } from "./schema/policy.ts";

/** Who may use an endpoint. Accounts that may not are answered as if the daemon did not exist. */
export const ACCESS = {
  anyone: "Everyone who may connect.",
  policy: "Accounts that the policy names.",
  control: "The owner of the addressed daemon, its managers and root.",
  author: "The owner of the addressed daemon and root.",
  root: "Root.",
} as const;
export type Access = keyof typeof ACCESS;

/** An endpoint. */
export interface Endpoint extends Route {
  readonly access: Access;
  readonly summary: string;
  readonly query?: TSchema;
  readonly body?: TSchema;
  /** Longest body, in bytes; 64 KiB unless said otherwise. */
  readonly longestBody?: number;
  /** `bytes`: application/octet-stream. */
  readonly answer: TSchema | "bytes";
}

/** JSON writes a newline, a tab, a quote and a backslash as two bytes. */
const LONGEST_DRAFT = 2 * LONGEST_CONF_FILE + 8 * 1024;

// biome-ignore format: one line per endpoint
export const ENDPOINTS = {
  getHealth:   { ...ROUTES.getHealth,   access: "anyone",  answer: Health, summary: "Report version, age, containment and shim of the supervisor." },
  listDaemons: { ...ROUTES.listDaemons, access: "policy",  query: DaemonListQuery, answer: DaemonList, summary: "List the daemons that the caller may control." },
  rescan:      { ...ROUTES.rescan,      access: "policy",  answer: RescanResult, summary: "Load new and changed files, and start what has autostart. Root also reloads the policy." },
  askPolicy:   { ...ROUTES.askPolicy,   access: "policy",  query: PolicyQuery, answer: PolicyAnswer, summary: "Ask what the policy allows." },
  exportState: { ...ROUTES.exportState, access: "root",    answer: StateExport, summary: "Export the whole state." },
  listImages:  { ...ROUTES.listImages,  access: "policy",  answer: ImageList, summary: "List the images of containers that daemons of the caller's use, and what is granted." },
  acceptImage: { ...ROUTES.acceptImage, access: "root",    body: ImageAcceptance, answer: ImageAccepted, summary: "Accept what the name of an image means now." },
  getDaemon:   { ...ROUTES.getDaemon,   access: "control", answer: DaemonStatus, summary: "Report the status of a daemon, with its resource usage." },
  start:       { ...ROUTES.start,       access: "control", answer: Outcome, summary: "Start it." },
  stop:        { ...ROUTES.stop,        access: "control", answer: Outcome, summary: "Stop it with all its processes." },
  restart:     { ...ROUTES.restart,     access: "control", answer: Outcome, summary: "Replace its processes: one by one when it listens, else stop it and start it." },
  once:        { ...ROUTES.once,        access: "control", answer: Outcome, summary: "Start it, and do not restart it when it ends." },
  pause:       { ...ROUTES.pause,       access: "control", answer: Outcome, summary: "Send SIGSTOP to all its processes." },
  continue:    { ...ROUTES.continue,    access: "control", answer: Outcome, summary: "Send SIGCONT to all its processes." },
  exit:        { ...ROUTES.exit,        access: "control", answer: Outcome, summary: "Stop it and forget it until the next rescan." },
  scale:       { ...ROUTES.scale,       access: "control", body: ScaleRequest, answer: Outcome, summary: "Change the number of its instances; those that stay are not touched." },
  kill:        { ...ROUTES.kill,        access: "control", body: KillRequest, answer: KillResult, summary: "Send a signal to the main process of each instance." },
  explain:     { ...ROUTES.explain,     access: "control", answer: Explanation, summary: "Explain why it is in its state." },
  readLog:     { ...ROUTES.readLog,     access: "control", query: LogQuery, answer: "bytes", summary: "Read or follow its log." },
  readFile:    { ...ROUTES.readFile,    access: "author",  answer: ConfFile, summary: "Read its conf file." },
  writeFile:   { ...ROUTES.writeFile,   access: "author",  body: ConfFileDraft, longestBody: LONGEST_DRAFT, answer: ConfFileWritten, summary: "Check and write its conf file." },
} as const satisfies Record<EndpointName, Endpoint>;

/** Name of an endpoint that answers bytes. */
export type StreamName = {
  [N in EndpointName]: (typeof ENDPOINTS)[N]["answer"] extends "bytes" ? N : never;
}[EndpointName];
/** Name of an endpoint that answers JSON. */
export type JsonName = Exclude<EndpointName, StreamName>;

type ParameterIn<P extends string> = P extends `${infer Head}/${infer Rest}`
  ? ParameterIn<Head> | ParameterIn<Rest>
  : P extends `:${infer Name}`
    ? Name
    : never;
/** The parameters of an endpoint's path; undefined without one. */
export type Params<N extends EndpointName> = N extends EndpointName
  ? [ParameterIn<(typeof ENDPOINTS)[N]["path"]>] extends [never]
    ? undefined
    : { readonly [K in ParameterIn<(typeof ENDPOINTS)[N]["path"]>]: string }
  : never;

type Field<N extends EndpointName, F extends "query" | "body"> = N extends EndpointName
  ? (typeof ENDPOINTS)[N] extends { readonly [K in F]: infer S extends TSchema }
    ? Static<S>
    : undefined
  : never;
/** The query of an endpoint, validated; undefined without one. */
export type Query<N extends EndpointName> = Field<N, "query">;
/** The body of a request to an endpoint, validated; undefined without one. */
export type Body<N extends EndpointName> = Field<N, "body">;
/** The schema of the answer; undefined: bytes. */
export type Answer<N extends EndpointName> = (typeof ENDPOINTS)[N]["answer"] extends infer S extends TSchema
  ? Static<S>
  : undefined;
