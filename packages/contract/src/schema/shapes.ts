/** The few shapes that all schemas are built of. Each names its docs first. */
import * as Type from "typebox";

/** A string without further rules. */
export const text = (description: string) => Type.String({ description });

/** A number; the description names its unit. */
export const amount = (description: string) => Type.Number({ description });

/** A whole number from 0. */
export const count = (description: string) => Type.Integer({ description, minimum: 0 });

/** A boolean. */
export const flag = (description: string) => Type.Boolean({ description });

/** One of a fixed set of strings. */
export const oneOf = <const V extends string>(values: readonly V[], description: string) =>
  Type.Unsafe<V>({ type: "string", enum: [...values], description });

/** A list of strings. */
export const texts = (description: string) => Type.Array(Type.String(), { description });

/** A list of such values. */
export const list = <S extends Type.TSchema>(items: S, description: string) => Type.Array(items, { description });

/**
 * An object of an answer: every field is always there, and clients ignore fields that they do not know.
 * The serializer writes the fields that are named here and no other.
 */
export const record = <P extends Type.TProperties>(description: string, properties: P) =>
  Type.Object(properties, { description });

/** An object of a request: an unknown field is refused. */
export const request = <P extends Type.TProperties>(description: string, properties: P) =>
  Type.Object(properties, { description, additionalProperties: false });

/** A value or null. One list of types, because a serializer would validate each alternative of an `anyOf`. */
export const nullable = <S extends Type.TSchema & { readonly type?: unknown; readonly enum?: readonly unknown[] }>(
  schema: S,
) =>
  Type.Unsafe<Type.Static<S> | null>({
    ...schema,
    type: [schema.type, "null"],
    ...(schema.enum && { enum: [...schema.enum, null] }),
  });
