/** Messages for requests that violate their schema. */
import { suggestion } from "../core/suggestion.ts";

/** The parts of a schema that the contract's shapes use. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** The first error of a request, as Ajv reports it with `verbose`. */
export interface SchemaError {
  readonly keyword: string;
  /** `/instances`; "" for the request's whole body or query. */
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The schema that has the keyword. */
  readonly parentSchema?: Schema;
  readonly data?: unknown;
}

/** Longest name of a field that a message repeats, in characters. */
const LONGEST_NAME = 64;

const unknown = (name: string, kind: string, known: readonly string[]): string => {
  const shown = name.length > LONGEST_NAME ? "" : ` ${JSON.stringify(name)}`;
  return `unknown ${kind}${shown}${known.length > 0 ? `: ${suggestion(name, known)}` : ""}`;
};

const range = ({ minimum = 0, maximum }: Schema): string =>
  maximum === undefined ? `at least ${minimum}` : `${minimum} to ${maximum}`;

const expectedType = (schema: Schema): string => {
  if (schema.type === "integer") return `expected a whole number, ${range(schema)}`;
  return schema.type === "string" ? "expected a string" : "expected a JSON object";
};

const expected = ({ keyword, parentSchema: schema = {}, data }: SchemaError): string => {
  if (keyword === "minimum" || keyword === "maximum") return `expected ${range(schema)}`;
  if (keyword === "maxLength") return `expected at most ${schema.maxLength} characters`;
  if (keyword === "enum") return suggestion(String(data), schema.enum ?? []);
  return expectedType(schema);
};

/**
 * The message for a request that its schema refuses: `instances: expected 1 to 64`, `signal: missing`,
 * `unknown field "instance": did you mean "instances"?`.
 *
 * @param part `body`, `querystring` or `params`
 */
export const schemaMessage = (error: SchemaError, part: string): string => {
  const { keyword, instancePath, params, parentSchema } = error;
  if (keyword === "required") return `${params["missingProperty"]}: missing`;
  if (keyword === "additionalProperties") {
    const kind = part === "body" ? "field" : "parameter";
    return unknown(String(params["additionalProperty"]), kind, Object.keys(parentSchema?.properties ?? {}));
  }
  return `${instancePath.slice(1).replaceAll("/", ".") || part}: ${expected(error)}`;
};
