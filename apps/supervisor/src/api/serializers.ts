/** Writes answers as JSON: the fields that a schema names, and no other. */
import fastJsonStringify, { type Schema } from "fast-json-stringify";

/** Writes one kind of answer; throws for a value that is not of its schema's type. */
type Serializer = (answer: unknown) => string;

/** One serializer for each schema: Fastify alone would compile one for each endpoint and status. */
export const serializers = (): ((route: { readonly schema?: unknown }) => Serializer) => {
  const compiled = new Map<unknown, Serializer>();
  return ({ schema }) => {
    const serializer = compiled.get(schema) ?? fastJsonStringify(schema as Schema);
    compiled.set(schema, serializer);
    return serializer;
  };
};
