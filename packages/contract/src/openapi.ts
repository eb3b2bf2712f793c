/** The control API as an OpenAPI document, made of the same schemas as the types and the checks. */
import type { TSchema } from "typebox";
import { ACCESS, ENDPOINTS, type Endpoint } from "./endpoints.ts";
import { hasAddress } from "./routes.ts";
import { DEPRECATED_SINCE } from "./schema/shapes.ts";
import * as schemas from "./schemas.ts";
import { API_VERSION, VERSION } from "./version.ts";

/** A JSON value. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/** The exported schemas by identity, so that each is written once and referred to by name. */
const named: ReadonlyMap<unknown, string> = new Map(
  Object.entries(schemas).flatMap(([name, value]) =>
    isObject(value) && "type" in value ? [[value, name] as const] : [],
  ),
);

const written = (value: unknown): Json => {
  const name = named.get(value);
  return name === undefined ? spelledOut(value) : { $ref: `#/components/schemas/${name}` };
};

const spelledOut = (value: unknown): Json => {
  if (Array.isArray(value)) return value.map(written);
  if (!isObject(value)) return value as Json;
  const keywords = Object.entries(value).map(([key, inner]) => [key, written(inner)] as const);
  const since = DEPRECATED_SINCE in value ? [["x-deprecated-since", value[DEPRECATED_SINCE] as string] as const] : [];
  return Object.fromEntries([...keywords, ...since]);
};

const json = (description: string, schema: unknown): Json => ({
  description,
  content: { "application/json": { schema: written(schema) } },
});

/** The fields of a request object as parameters of a path or of a query. */
const parameters = (place: "path" | "query", request: TSchema | undefined): Json[] => {
  const { properties = {}, required = [] } = (request ?? {}) as {
    properties?: Record<string, { description?: string; deprecated?: boolean }>;
    required?: string[];
  };
  return Object.entries(properties).map(
    ([name, { description, ...schema }]): Json => ({
      name,
      in: place,
      required: required.includes(name),
      description,
      ...(schema.deprecated && { deprecated: true }),
      schema: spelledOut(schema),
    }),
  );
};

const operation = (name: string, endpoint: Endpoint): Json => {
  const { path, access, summary, query, body, answer } = endpoint;
  const all = [...(hasAddress(path) ? parameters("path", schemas.Address) : []), ...parameters("query", query)];
  const done: Json =
    answer === "bytes"
      ? { description: "The bytes of the log.", content: { "application/octet-stream": {} } }
      : json("Done.", answer);
  return {
    operationId: name,
    summary,
    description: `Access: ${ACCESS[access]}`,
    ...(all.length > 0 && { parameters: all }),
    ...(body && { requestBody: { required: true, content: { "application/json": { schema: written(body) } } } }),
    responses: { "200": done, default: json("The request was not carried out.", schemas.ApiError) },
  };
};

/** The whole document; its schemas have names and are in the order of `schemas.ts`. Tests pass other endpoints. */
export const openapi = (endpoints: Readonly<Record<string, Endpoint>> = ENDPOINTS): Json => {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [name, endpoint] of Object.entries(endpoints)) {
    const path = `/${API_VERSION}${endpoint.path.replace(":address", "{address}")}`;
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operation(name, endpoint) };
  }
  const components = [...named]
    .sort(([, a], [, b]) => (a < b ? -1 : 1))
    .map(([schema, name]) => [name, spelledOut(schema)]);
  return {
    openapi: "3.1.0",
    info: {
      title: "dmhost control API",
      version: VERSION,
      description:
        "Served on UNIX sockets; the kernel says who the caller is (SO_PEERCRED). v1 only gains fields: clients ignore fields and values that they do not know.",
    },
    paths,
    components: { schemas: Object.fromEntries(components) },
  };
};
