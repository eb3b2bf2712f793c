/** The control API: validates, lets in, calls the handler of an endpoint, and answers as the contract says. */
import { API_VERSION, LONGEST_ADDRESS } from "@dmhost/contract";
import { Address, ApiError, ENDPOINTS, type Endpoint, type EndpointName, hasAddress } from "@dmhost/contract/schemas";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { authorize } from "./access.ts";
import { awaitRequest, callerOf, requestCame } from "./connection.ts";
import type { Engine } from "./engine.ts";
import { answerTo, Refusal } from "./refusal.ts";
import { daemonRoutes } from "./routes/daemons.ts";
import { fileRoutes } from "./routes/files.ts";
import type { Call, Handlers } from "./routes/handlers.ts";
import { healthRoutes } from "./routes/health.ts";
import { logRoutes } from "./routes/logs.ts";
import { policyRoutes } from "./routes/policy.ts";
import { serializerOf } from "./serializers.ts";
import type { Surroundings } from "./surroundings.ts";

const HANDLERS: Handlers<EndpointName> = {
  ...healthRoutes,
  ...daemonRoutes,
  ...logRoutes,
  ...fileRoutes,
  ...policyRoutes,
};

/** Longest body of a request, in bytes, where the endpoint has no other. */
export const LONGEST_BODY = 64 * 1024;
const NO_QUERY = { type: "object", properties: {}, additionalProperties: false };

/** The schemas of an endpoint. The serializer writes the fields that the answer's schema names, and no other. */
const schemaOf = ({ path, query, body, answer }: Endpoint) => ({
  ...(hasAddress(path) && { params: Address }),
  ...(body && { body }),
  querystring: query ?? NO_QUERY,
  response: { ...(answer !== "bytes" && { 200: answer }), default: ApiError },
});

/** The API, ready for connections that `attachCaller` has seen. */
export const createApi = async (engine: Engine, about: Surroundings): Promise<FastifyInstance> => {
  const api = Fastify({
    logger: false,
    bodyLimit: LONGEST_BODY,
    // The server never listens itself, so Node's own time limits do not apply: see awaitRequest.
    connectionTimeout: 0,
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
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, verbose: true } },
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
  for (const [name, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
    // The schemas have checked what the types say.
    const handle = HANDLERS[name as EndpointName] as (call: Call<never>) => unknown;
    api.route({
      method: endpoint.method,
      url: `/${API_VERSION}${endpoint.path}`,
      bodyLimit: endpoint.longestBody ?? LONGEST_BODY,
      schema: schemaOf(endpoint),
      handler: async (request) => {
        const caller = callerOf(request.raw.socket);
        if (engine.stopping) throw new Refusal("stopping", "The supervisor is stopping.");
        const { address = "" } = request.params as { address?: string };
        const subject = authorize(endpoint.access, engine, caller, address);
        return handle({ engine, about, caller, subject, query: request.query, body: request.body } as Call<never>);
      },
    });
  }
  await api.ready();
  return api;
};
