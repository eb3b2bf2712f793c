/** The whole control API on one screen: what there is, who may, and what does it. */
import { Readable } from "node:stream";
import { API_VERSION, type ConfFile, LONGEST_CONF_FILE, type ScaleRequest, SIGNALS } from "@dmhost/contract";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Daemon } from "../engine/daemon.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import {
  awaitRequest,
  type Caller,
  callerOf,
  controllable,
  mayControl,
  mayWrite,
  requestCame,
  requirePolicy,
  requireRoot,
  resolve,
} from "./access.ts";
import { type ConfSurroundings, copyOut, takeBack, veiled } from "./conf-text.ts";
import { type ExplanationSurroundings, explain } from "./explanation.ts";
import { loggerOf } from "./log-tail.ts";
import { act } from "./outcome.ts";
import { answerQuestion, QUESTION_VERBS, type Question } from "./policy-question.ts";
import { present } from "./presentation.ts";
import { answerTo, Refusal } from "./problem.ts";
import { exportState } from "./state-export.ts";

/** What the API does that is not the supervisor's: files of tenants, and the policy. */
export interface Surroundings extends ExplanationSurroundings, ConfSurroundings {
  /** Reads the policy file and the accounts again; problems as `path:line: text`. Throws when the file is refused. */
  reloadPolicy(): Promise<string[]>;
  /** Uid of the one who, besides root, may have it read again: the only tenant's, where there is but one. */
  readonly policyOwner: number;
  /** Writes what the next supervisor is to know: what somebody has been told of is so after kill -9, too. */
  writeRecords(): void;
  /** Called for an error that the caller is only told of as internal. */
  onInternalError(error: unknown, caller: Caller): void;
}

/** Who may use a route: anyone who can connect, those whom the policy names, those who control the daemon named, or root. */
type Access = "anyone" | "policy" | "control" | "root";

interface Call {
  readonly caller: Caller;
  readonly request: FastifyRequest;
  /** The daemon named in the path; only with access "control". */
  readonly daemon: Daemon;
  /** What the path names, as it was written. */
  readonly address: string;
}

interface Route {
  readonly method: "GET" | "POST" | "PUT";
  readonly url: string;
  readonly access: Access;
  readonly body?: object;
  readonly query?: object;
  /** Of a body, in bytes. */
  readonly most?: number;
  readonly run: (call: Call) => unknown;
}

const closed = (properties: object, required: string[] = []) => ({
  type: "object",
  additionalProperties: false,
  properties,
  required,
});

const routesOf = (supervisor: Supervisor, about: Surroundings): Route[] => {
  const one = "/daemons/:address";
  // biome-ignore format: one line a route
  return [
    { method: "GET",  url: "/health",         access: "anyone",  run: () => about.health() },
    { method: "GET",  url: "/daemons",        access: "policy",  run: ({ caller, request }) => ({ daemons: controllable(supervisor, caller).map((daemon) => present(daemon, about.now(), isMeasured(request))) }), query: closed({ usage: { type: "string", enum: ["1"] } }) },
    { method: "POST", url: "/rescan",         access: "policy",  run: ({ caller }) => rescan(supervisor, about, caller) },
    { method: "GET",  url: "/policy",         access: "policy",  run: ({ caller, request }) => answerQuestion(supervisor, about.policyFile, caller, request.query as Question), query: closed({ caller: { type: "string", maxLength: 64 }, verb: { type: "string", enum: QUESTION_VERBS }, address: { type: "string", maxLength: 200 } }, ["caller", "verb", "address"]) },
    { method: "GET",  url: "/export",         access: "root",    run: () => exportState(supervisor, about) },
    { method: "GET",  url: one,               access: "control", run: ({ daemon }) => present(daemon, about.now(), true) },
    { method: "POST", url: `${one}/start`,    access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "start") },
    { method: "POST", url: `${one}/stop`,     access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "stop") },
    { method: "POST", url: `${one}/restart`,  access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "restart") },
    { method: "POST", url: `${one}/once`,     access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "once") },
    { method: "POST", url: `${one}/pause`,    access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "pause") },
    { method: "POST", url: `${one}/continue`, access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "continue") },
    { method: "POST", url: `${one}/exit`,     access: "control", run: ({ daemon }) => act(supervisor, about, daemon, "exit") },
    { method: "POST", url: `${one}/scale`,    access: "control", run: ({ daemon, request }) => act(supervisor, about, daemon, "scale", (request.body as ScaleRequest).instances), body: closed({ instances: { type: "integer", minimum: 1, maximum: 64 } }, ["instances"]) },
    { method: "POST", url: `${one}/kill`,     access: "control", run: kill, body: closed({ signal: { type: "string", enum: [...SIGNALS.keys()] } }, ["signal"]) },
    { method: "GET",  url: `${one}/explanation`, access: "control", run: (call) => explanation(supervisor, about, call) },
    { method: "GET",  url: `${one}/log`,      access: "control", run: (call) => log(supervisor, about, call), query: closed({ lines: { type: "integer", minimum: 0, maximum: 10_000_000 }, since: { type: "integer", minimum: 0, maximum: 8_640_000_000_000_000 }, follow: { type: "string", enum: ["0", "1"] } }) },
    { method: "GET",  url: `${one}/file`,     access: "policy",  run: ({ caller, address }) => copyOut(supervisor, about, caller, address) },
    { method: "PUT",  url: `${one}/file`,     access: "policy",  run: ({ caller, address, request }) => takeBack(supervisor, about, caller, address, request.body as ConfFile), body: closed({ path: { type: "string" }, text: { type: "string" }, fingerprint: { type: "string", maxLength: 64 } }, ["text", "fingerprint"]), most: LONGEST_TEXT_BODY },
  ];
};

const isMeasured = ({ query }: FastifyRequest): boolean => (query as { usage?: "1" }).usage === "1";

/** JSON writes a line's end, a tab, a quote and a backslash as two bytes. */
const LONGEST_TEXT_BODY = 2 * LONGEST_CONF_FILE + 8 * 1024;

const explanation = async (supervisor: Supervisor, about: Surroundings, { caller, daemon }: Call) => {
  const whole = await explain(supervisor, about, daemon);
  return mayWrite(supervisor, caller, daemon.key.owner.name) ? whole : veiled(whole);
};

const rescan = async (supervisor: Supervisor, about: Surroundings, caller: Caller) => {
  const problems = [0, about.policyOwner].includes(caller.uid) ? await reloadPolicy(about) : [];
  const findings = supervisor.rescan(supervisor.policy.manageable(caller.user));
  return { ...findings, problems: [...problems, ...findings.problems] };
};

const reloadPolicy = async (about: Surroundings): Promise<string[]> => {
  try {
    return await about.reloadPolicy();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal("invalid-file", "The policy is refused; the one in force stays.", reason.split("\n"));
  }
};

const kill = ({ daemon, request }: Call) => {
  const { signal } = request.body as { signal: string };
  if (!daemon.signal(SIGNALS.get(signal) ?? 0)) {
    throw new Refusal(
      "not-applicable",
      `"${daemon.id}" has no process to send SIG${signal} to: it is ${daemon.state.phase}.`,
    );
  }
  return {};
};

/** Resolves when a stream has something to read, waits for it, or has ended; rejects with what kept it from that. */
const opened = (stream: Readable): Promise<void> =>
  new Promise((resolve, reject) => {
    // One that follows a silent log has opened it long before this.
    const silent = setTimeout(resolve, 100);
    stream.once("readable", () => {
      clearTimeout(silent);
      resolve();
    });
    stream.once("error", reject);
  });

const log = async (supervisor: Supervisor, about: Surroundings, { caller, daemon, request }: Call) => {
  const logger = loggerOf(daemon);
  if (logger !== undefined) {
    throw new Refusal("not-applicable", `${logger} keeps the log of "${daemon.id}", and it alone knows where.`);
  }
  const { lines, since, follow } = request.query as { lines?: number; since?: number; follow?: "0" | "1" };
  if (lines !== undefined && since !== undefined) throw new Refusal("usage", '"lines" and "since" exclude each other.');
  if (daemon.file.definition?.output === "discard" && daemon.terms?.definition.output !== "log") {
    throw new Refusal(
      "not-applicable",
      `"${daemon.id}" keeps no log. Write output=log in ${daemon.file.path} and restart it.`,
    );
  }
  // One who follows it may lose the right to.
  const permitted = () => mayControl(supervisor, caller, daemon.key.owner.name);
  const text = Readable.from(about.readLog(daemon, { lines, since, follow: follow === "1", permitted }), {
    objectMode: false,
    highWaterMark: 64 * 1024,
  });
  try {
    await opened(text);
    return text;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "it has not written one yet" : message;
    throw new Refusal("not-applicable", `The log of "${daemon.id}" cannot be read: ${why}.`);
  }
};

/** The API, ready for connections that `attachCaller` has seen. */
export const createApi = async (supervisor: Supervisor, about: Surroundings): Promise<FastifyInstance> => {
  const api = Fastify({
    logger: false,
    bodyLimit: 64 * 1024,
    // The server never listens itself, so Node's own time limits never come into force: see awaitRequest.
    connectionTimeout: 0,
    routerOptions: { maxParamLength: 300 },
    // An address that cannot be decoded is refused before there is a route to handle errors.
    frameworkErrors: (error, _request, reply) => {
      const { status, body } = answerTo(error);
      return (reply as FastifyReply).status(status).send(body);
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true } },
  });
  api.addHook("preHandler", async (request) => requestCame(request.raw.socket));
  api.addHook("onSend", async () => about.writeRecords());
  api.addHook("onResponse", async (request) => awaitRequest(request.raw.socket));
  api.setErrorHandler((error, request, reply) => {
    const { status, body } = answerTo(error);
    if (body.code === "internal") about.onInternalError(error, callerOf(request.raw.socket));
    return reply.status(status).send(body);
  });
  api.setNotFoundHandler((request, reply) => {
    const { status, body } = answerTo(
      new Refusal("usage", `There is no ${request.method} ${JSON.stringify(request.url)}.`),
    );
    return reply.status(status).send(body);
  });
  for (const route of routesOf(supervisor, about)) {
    api.route({
      method: route.method,
      url: `/${API_VERSION}${route.url}`,
      ...(route.most !== undefined && { bodyLimit: route.most }),
      schema: { ...(route.body && { body: route.body }), querystring: route.query ?? closed({}) },
      handler: async (request) => {
        const caller = callerOf(request.raw.socket);
        if (supervisor.stopping) throw new Refusal("stopping", "The supervisor is stopping.");
        if (route.access !== "anyone") requirePolicy(supervisor, caller);
        if (route.access === "root") requireRoot(caller);
        const { address = "" } = (request.params ?? {}) as { address?: string };
        const daemon = route.access === "control" ? resolve(supervisor, caller, address) : (undefined as never);
        return route.run({ caller, request, daemon, address });
      },
    });
  }
  await api.ready();
  return api;
};
