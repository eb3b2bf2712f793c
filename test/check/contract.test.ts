/** The control API keeps its promise: to the released document, and to answers that were recorded from a supervisor. */
import { DAEMON_STATES, type DaemonList } from "@dmhost/contract";
import { openapi } from "@dmhost/contract/openapi";
import { ApiError, ENDPOINTS, type Endpoint, type EndpointName } from "@dmhost/contract/schemas";
import { expect, test } from "vitest";
import { type Document, incompatibilities } from "../contract/compatibility.ts";
import { readCorpus, readReleased, readReleases } from "../contract/corpus.ts";
import { breaches, fieldsOf, isKept, promised, type Schema, withField } from "../contract/promise.ts";

const corpus = readCorpus();
const endpoints = Object.entries<Endpoint>(ENDPOINTS) as [EndpointName, Endpoint][];
const answers = (name: EndpointName, isError: boolean): unknown[] =>
  (corpus.get(name) ?? []).filter(({ status }) => status >= 400 === isError).map(({ body }) => body);
const NOTHING: Schema = { type: "object", additionalProperties: false };
const errors = endpoints.flatMap(([name]) => answers(name, true));

/** Each kind of answer once: its name, its schema and what was recorded of it. */
const kinds: [string, Schema, unknown[]][] = [
  ["an error", ApiError as Schema, errors],
  ...endpoints.flatMap(([name, { answer }]): [string, Schema, unknown[]][] =>
    answer === "bytes" ? [] : [[name, answer as Schema, answers(name, false)]],
  ),
];

test("the schemas of today keep the promise of the released document", () => {
  expect(incompatibilities(readReleased(), openapi() as unknown as Document, readReleases())).toEqual([]);
});

test.each(kinds)("every recorded answer of %s satisfies its schema of today", (_name, schema, bodies) => {
  expect(bodies).not.toEqual([]);
  expect(bodies.flatMap((body) => breaches(promised(schema), body))).toEqual([]);
});

/** The fields of a query as the supervisor converts them: numbers are text in a URL. */
const fieldsOfUrl = (request: string, { properties = {} }: Schema): Record<string, unknown> => {
  const { searchParams } = new URL(request.split(" ")[1] ?? "", "http://localhost");
  const typed = (key: string, value: string) => (properties[key]?.type === "integer" ? Number(value) : value);
  return Object.fromEntries([...searchParams].map(([key, value]) => [key, typed(key, value)]));
};

const carriedOut = (name: EndpointName) => (corpus.get(name) ?? []).filter(({ status }) => status < 400);

test.each(endpoints)("every recorded request of %s that was carried out is still accepted", (name, { query, body }) => {
  const querySchema = (query ?? NOTHING) as Schema;
  expect(carriedOut(name)).not.toEqual([]);
  for (const { request, sent } of carriedOut(name)) {
    expect(breaches(querySchema, fieldsOfUrl(request, querySchema))).toEqual([]);
    expect(breaches((body ?? {}) as Schema, sent)).toEqual([]);
  }
});

test.each(endpoints)(
  "every field of a request of %s is in a recorded request that was carried out",
  (name, { query, body }) => {
    const querySchema = (query ?? NOTHING) as Schema;
    const used = carriedOut(name).flatMap(({ request, sent }) => [
      ...Object.keys(fieldsOfUrl(request, querySchema)),
      ...Object.keys(sent ?? {}),
    ]);
    const fields = [querySchema, (body ?? {}) as Schema].flatMap(({ properties = {} }) => Object.keys(properties));
    expect(fields.filter((field) => !used.includes(field))).toEqual([]);
  },
);

test("daemons in every state are recorded", () => {
  const daemons = answers("listDaemons", false).flatMap((body) => (body as DaemonList).daemons);
  expect(new Set(daemons.map(({ state }) => state))).toEqual(new Set(DAEMON_STATES));
});

/** The fields of each kind, without those of the DaemonStatus within it, which the list has too. */
const ownFields = kinds.map(([name, schema, bodies]): [string, Schema, unknown[], string[]] => [
  name,
  schema,
  bodies,
  [...fieldsOf(schema).keys()].filter((field) => !/^(daemons\.)?daemon\./.test(field)),
]);

const keep = (schema: Schema, bodies: readonly unknown[]): boolean => bodies.every((body) => isKept(schema, body));

test.each(ownFields)("a removed field of %s breaks the promise", (_name, schema, bodies, fields) => {
  const unnoticed = fields.filter((field) => keep(promised(withField(schema, field, () => undefined)), bodies));
  expect(unnoticed).toEqual([]);
});

test.each(ownFields)("a field of %s that changes its type breaks the promise", (_name, schema, bodies, fields) => {
  const retyped = ({ type }: Schema): Schema => ({ type: type?.includes("string") ? "integer" : "string" });
  const unnoticed = fields.filter((field) => keep(promised(withField(schema, field, retyped)), bodies));
  expect(unnoticed).toEqual([]);
});

test("a field that is added to the schema keeps the promise", () => {
  const [, schema, bodies] = kinds.find(([name]) => name === "getHealth") ?? ["", {}, []];
  const grown = promised({ ...schema, properties: { ...schema.properties, load: { type: "number" } } });
  expect(keep(grown, bodies)).toBe(true);
});

test.each(kinds)("%s has all of its fields in every answer, but for the details of an error", (name, schema) => {
  const optional = [...fieldsOf(schema)].filter(([, field]) => field.optional).map(([field]) => field);
  expect(optional).toEqual(name === "an error" ? ["details"] : []);
});
