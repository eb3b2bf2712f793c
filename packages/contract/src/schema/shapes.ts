/**
 * The few shapes that all schemas are built of. A schema is plain JSON Schema; TypeBox derives the TypeScript type from it,
 * at compile time alone, so no program that uses the contract loads TypeBox.
 */
import type {
  Static,
  TArray,
  TBoolean,
  TInteger,
  TNumber,
  TObject,
  TOptional,
  TProperties,
  TSchema,
  TString,
  TUnsafe,
} from "typebox";

/** Marks a field that may be missing; a symbol is no part of the JSON. */
const OPTIONAL = Symbol("optional");

/** Key of the release that deprecated a field; a symbol because the supervisor's validator refuses unknown keywords. */
export const DEPRECATED_SINCE = Symbol("deprecated since");

/** The one place where a JSON Schema gets the type that TypeBox has for it. */
const typed = <S extends TSchema>(schema: object): S => schema as S;

/** A string; `bounds` may say its `maxLength`. */
export const text = (description: string, bounds: { readonly maxLength?: number } = {}) =>
  typed<TString>({ type: "string", description, ...bounds });

/** A number; the description names its unit. */
export const amount = (description: string) => typed<TNumber>({ type: "number", description });

/** A whole number, from 0 unless `bounds` say otherwise. */
export const count = (description: string, bounds: { readonly minimum?: number; readonly maximum?: number } = {}) =>
  typed<TInteger>({ type: "integer", description, minimum: 0, ...bounds });

/** A boolean. */
export const flag = (description: string) => typed<TBoolean>({ type: "boolean", description });

/** One of a fixed set of strings. */
export const oneOf = <const V extends string>(values: readonly V[], description: string) =>
  typed<TUnsafe<V>>({ type: "string", enum: [...values], description });

/** A list of strings. */
export const texts = (description: string) =>
  typed<TArray<TString>>({ type: "array", items: { type: "string" }, description });

/** A list of such values. */
export const list = <S extends TSchema>(items: S, description: string) =>
  typed<TArray<S>>({ type: "array", items, description });

/** A field that may be missing. */
export const optional = <S extends TSchema>(schema: S) => typed<TOptional<S>>({ ...schema, [OPTIONAL]: true });

const object = <P extends TProperties>(description: string, properties: P, more: object) => {
  const required = Object.keys(properties).filter((key) => !(OPTIONAL in (properties[key] ?? {})));
  return typed<TObject<P>>({ type: "object", description, properties, required, ...more });
};

/**
 * An object of an answer: every field is always there, and clients ignore fields that they do not know.
 * The serializer writes the fields that are named here and no other.
 */
export const record = <P extends TProperties>(description: string, properties: P) =>
  object(description, properties, {});

/** An object of a request: an unknown field is refused. */
export const request = <P extends TProperties>(description: string, properties: P) =>
  object(description, properties, { additionalProperties: false });

/** A value or null. */
export const nullable = <S extends TSchema & { readonly type?: unknown; readonly enum?: readonly unknown[] }>(
  schema: S,
) =>
  typed<TUnsafe<Static<S> | null>>({
    ...schema,
    type: [schema.type, "null"],
    ...(schema.enum && { enum: [...schema.enum, null] }),
  });

/**
 * A field that goes in a later release. `since` is the first release that announces it, e.g. `0.2.0`: openapi.json shows it, and the
 * contract test lets the field go once two releases have announced it.
 */
export const deprecated = <S extends TSchema>(schema: S, since: `${number}.${number}.${number}`): S =>
  typed<S>({ ...schema, deprecated: true, [DEPRECATED_SINCE]: since });
