/** Type guards for values that were read from a file. */

export type Shape<T> = (value: unknown) => value is T;

/** The shape of each property of `T`. A property that may be missing has an `optional` shape. */
export type Fields<T> = { readonly [Name in keyof T]-?: Shape<T[Name]> };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
export const isText = (value: unknown): value is string => typeof value === "string";
/** A finite number, which JSON can carry. */
export const isNumber = (value: unknown): value is number => Number.isFinite(value);
/** A whole number from 0. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** One of these words. A word of `T` that is missing here does not compile. */
export const oneOf =
  <T extends string>(words: Readonly<Record<T, true>>): Shape<T> =>
  (value): value is T =>
    isText(value) && Object.hasOwn(words, value);

/** JSON has no undefined: the property is missing. */
export const optional =
  <T>(shape: Shape<T>): Shape<T | undefined> =>
  (value): value is T | undefined =>
    value === undefined || shape(value);

/** An object that has one of these shapes. A shape of `T` that is missing here does not compile. */
export const anyShape =
  <T extends string, V>(shapes: Readonly<Record<T, Shape<V>>>): Shape<V> =>
  (value): value is V =>
    Object.values<Shape<V>>(shapes).some((shape) => shape(value));

/** A list whose elements all have this shape. */
export const listOf =
  <T>(shape: Shape<T>): Shape<readonly T[]> =>
  (value): value is readonly T[] =>
    Array.isArray(value) && value.every(shape);

/** An object whose properties all have this shape. */
export const mapOf =
  <T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> =>
  (value): value is Readonly<Record<string, T>> =>
    isObject(value) && Object.values(value).every(shape);

/** Names of the properties of `value` that have a wrong shape; all of them where it is no object. */
export const wrongFields = <T>(fields: Fields<T>, value: unknown): string[] =>
  Object.entries<Shape<unknown>>(fields).flatMap(([name, shape]) =>
    isObject(value) && shape(value[name]) ? [] : name,
  );

/** An object with at least these properties. */
export const object =
  <T>(fields: Fields<T>): Shape<T> =>
  (value): value is T =>
    isObject(value) && wrongFields(fields, value).length === 0;
