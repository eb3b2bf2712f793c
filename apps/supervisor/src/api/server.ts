/** The control API: validates and authorizes requests, calls the handler of the endpoint, and answers by the contract. */
import { API_VERSION, LONGEST_ADDRESS } from "@dmhost/contract";
import {
  Address,
  ApiError,
  type Body,
  ENDPOINTS,
  type Endpoint,
  type EndpointName,
  hasAddress,
  type Query,
} from "@dmhost/contract/schemas";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { authorize, ownersConcerned } from "./access.ts";
import { awaitRequest, callerOf, refuseUnreadable, requestCame } from "./connection.ts";
import type { Engine } from "./engine.ts";
import { answerTo, Refusal } from "./refusal.ts";
import { daemonRoutes } from "./routes/daemons.ts";
import { fileRoutes } from "./routes/files.ts";
import type { Handlers } from "./routes/handlers.ts";
import { healthRoutes } from "./routes/health.ts";
import { imageRoutes } from "./routes/images.ts";
import { logRoutes } from "./routes/logs.ts";
import { policyRoutes } from "./routes/policy.ts";
import { serializerOf } from "./serializers.ts";
import type {
  AnswerListener,
  ConfFileAccess,
  ContainerImages,
  ExplanationSurroundings,
  PolicyFile,
  Progress,
} from "./surroundings.ts";

/** What all routes and the server need besides the engine. */
export interface Surroundings
  extends ExplanationSurroundings,
    ConfFileAccess,
    ContainerImages,
    PolicyFile,
    Progress,
    AnswerListener {}

const handlersWith = (about: Surroundings): Handlers<EndpointName> => ({
  ...healthRoutes(about),
  ...daemonRoutes(about),
  ...logRoutes(about),
  ...fileRoutes(about),
  ...policyRoutes(about),
  ...imageRoutes(about),
});

/** Longest body of a request, in bytes, where the endpoint has no other. */
export const LONGEST_BODY = 64 * 1024;
const NO_QUERY = { type: "object", properties: {}, additionalProperties: false };
/** Nothing, which Fastify validates as null, or `{}`. */
const NO_BODY = { ...NO_QUERY, type: ["object", "null"] };

/** The part of a query's schema that says which parameters are numbers. */
interface QuerySchema {
  readonly properties?: Readonly<Record<string, { readonly type?: unknown }>>;
}

/** The schemas of an endpoint. The serializer writes the fields that the answer's schema names, and no other. */
const schemaOf = ({ method, path, query, body, answer }: Endpoint) => ({
  ...(hasAddress(path) && { params: Address }),
  ...(method !== "GET" && { body: body ?? NO_BODY }),
  querystring: query ?? NO_QUERY,
  response: { ...(answer !== "bytes" && { 200: answer }), default: ApiError },
});

/** A query with its numbers, which are text in a URL. Bodies are not converted: JSON has numbers. */
const withNumbers = (query: Readonly<Record<string, unknown>>, schema: QuerySchema = {}): Record<string, unknown> => {
  const isNumber = (name: string, text: unknown): boolean =>
    schema.properties?.[name]?.type === "integer" && text !== "" && !Number.isNaN(Number(text));
  return Object.fromEntries(
    Object.entries(query).map(([name, text]) => [name, isNumber(name, text) ? Number(text) : text]),
  );
};

/** The API, ready for connections that `attachCaller` has seen. */
export const createApi = async (engine: Engine, about: Surroundings): Promise<FastifyInstance> => {
  const api = Fastify({
    logger: false,
    bodyLimit: LONGEST_BODY,
    // The server never listens itself, so Node's own time limits do not apply: see awaitRequest.
    connectionTimeout: 0,
    // After close(), as before it, the engine says that the supervisor is stopping.
    return503OnClosing: false,
    http: { requireHostHeader: false },
    clientErrorHandler: refuseUnreadable,
    routerOptions: { maxParamLength: LONGEST_ADDRESS },
    // An address that cannot be decoded is refused before there is a route to handle errors.
    frameworkErrors: (error, _request, reply) => {
      const { status, body } = answerTo(error);
      return (reply as FastifyReply).status(status).send(body);
    },
    schemaController: {
      compilersFactory: {
        buildSerializer:
          () =>
          ({ schema }) =>
            serializerOf(schema),
      },
    },
    // Verbose: errors have the schema that they break, for schemaMessage.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, verbose: true } },
  });
  api.addHook("preHandler", async (request) => requestCame(request.raw.socket));
  api.addHook("onSend", async () => about.answered());
  api.addHook("onResponse", async (request) => awaitRequest(request.raw.socket));
  api.setErrorHandler((error, request, reply) => {
    const { status, body } = answerTo(error);
    if (body.code === "internal") about.onInternalError(error, callerOf(request.raw.socket));
    return reply.status(status).send(body);
  });
  api.setNotFoundHandler((request, reply) => {
    const { status, body } = answerTo(
      new Refusal("usage", `there is no endpoint ${request.method} ${JSON.stringify(request.url)}`),
    );
    return reply.status(status).send(body);
  });
  const handlers = handlersWith(about);
  const route = <N extends EndpointName>(name: N): void => {
    const endpoint: Endpoint = ENDPOINTS[name];
    api.route<{ Params: { address?: string } }>({
      method: endpoint.method,
      url: `/${API_VERSION}${endpoint.path}`,
      bodyLimit: endpoint.longestBody ?? LONGEST_BODY,
      schema: schemaOf(endpoint),
      preValidation: async (request) => {
        request.query = withNumbers(request.query as Readonly<Record<string, unknown>>, endpoint.query);
      },
      handler: async ({ raw, params: { address = "" }, query, body }) => {
        const caller = callerOf(raw.socket);
        if (engine.stopping) throw new Refusal("stopping", "the supervisor is stopping");
        if (name !== "getHealth") await about.known(ownersConcerned(engine, caller, address));
        const subject = authorize<(typeof ENDPOINTS)[N]["access"]>(ENDPOINTS[name].access, engine, caller, address);
        // The schemas have checked what the types say.
        return handlers[name]({ engine, caller, subject, query: query as Query<N>, body: body as Body<N> });
      },
    });
  };
  for (const name of Object.keys(ENDPOINTS) as EndpointName[]) route(name);
  // Only 100-continue means anything here; RFC 9110 lets a server ignore any other expectation.
  api.server.on("checkExpectation", (request, response) => api.server.emit("request", request, response));
  await api.ready();
  return api;
};
