/** The API's promise as a check: v1 only gains fields. */
import { Check, Errors } from "typebox/value";

/** A JSON schema, as far as it is looked at here. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

const isObject = (schema: Schema): boolean => schema.properties !== undefined;

/** Changes every object of a schema, the innermost first; a path is `daemons.hosts.name`. */
const mapObjects = (schema: Schema, change: (schema: Schema, path: string) => Schema, path = ""): Schema => {
  const below = (key: string): string => (path === "" ? key : `${path}.${key}`);
  const properties = Object.entries(schema.properties ?? {}).map(
    ([key, inner]) => [key, mapObjects(inner, change, below(key))] as const,
  );
  const copy: Schema = {
    ...schema,
    ...(isObject(schema) && { properties: Object.fromEntries(properties) }),
    ...(schema.items && { items: mapObjects(schema.items, change, path) }),
  };
  return isObject(copy) ? change(copy, path) : copy;
};

/** For recorded answers: fields that were gained later may be missing, but no field may be unknown. */
export const promised = (schema: Schema): Schema =>
  mapObjects(schema, ({ required: _, ...object }) => ({ ...object, additionalProperties: false }));

/** Whether a recorded answer keeps the promise of a schema from `promised`. */
export const isKept = (schema: Schema, body: unknown): boolean => Check(schema, body);

/** How a recorded answer breaks the promise, each `/daemons/0/pid must be string`. */
export const breaches = (schema: Schema, body: unknown): string[] =>
  Errors(schema, body).map(({ instancePath, message }) => `${instancePath} ${message}`);

/** Every field of a schema as `daemons.hosts.name`, and whether an answer may lack it. */
export const fieldsOf = (schema: Schema): ReadonlyMap<string, { readonly optional: boolean }> => {
  const fields = new Map<string, { readonly optional: boolean }>();
  mapObjects(schema, (object, path) => {
    for (const key of Object.keys(object.properties ?? {})) {
      fields.set(path === "" ? key : `${path}.${key}`, { optional: !object.required?.includes(key) });
    }
    return object;
  });
  return fields;
};

/** The schema with one field changed; undefined removes it. */
export const withField = (schema: Schema, field: string, change: (schema: Schema) => Schema | undefined): Schema =>
  mapObjects(schema, (object, path) => {
    const kept = Object.entries(object.properties ?? {}).flatMap(([key, inner]) => {
      if ((path === "" ? key : `${path}.${key}`) !== field) return [[key, inner] as const];
      const changed = change(inner);
      return changed === undefined ? [] : [[key, changed] as const];
    });
    return { ...object, properties: Object.fromEntries(kept) };
  });
