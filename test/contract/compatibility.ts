/**
 * Compares two OpenAPI documents of the control API: what a client of the released one can rely on. Answers may narrow and
 * requests may widen, so the rules of one are those of the other in the opposite direction.
 */

/** A JSON schema of the document, as far as `shapes.ts` makes it. */
interface Node {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly additionalProperties?: boolean;
  readonly "x-deprecated-since"?: string;
  readonly [keyword: string]: unknown;
}

type Content = Readonly<Record<string, { readonly schema?: Node }>>;

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly (Node & { readonly name: string; readonly in: string; readonly required: boolean })[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content: Content }>>;
}

/** An OpenAPI document as `openapi()` makes it. */
export interface Document {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Node>> };
}

/** Releases that must announce a field before it goes. */
const ANNOUNCED = 2;
/** Bounds, and whether a greater value admits more. */
const BOUNDS = { maximum: true, maxLength: true, maxItems: true, minimum: false, minLength: false, minItems: false };
const KNOWN = new Set<string>([
  ...["$ref", "type", "enum", "properties", "required", "items", "description", "deprecated", "x-deprecated-since"],
  ...["additionalProperties", ...Object.keys(BOUNDS)],
]);

/** Whether version `a` is before version `b`; both are `1.2.3`. */
const isBefore = (a: string, b: string): boolean => {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  const place = left.findIndex((number, index) => number !== right[index]);
  return place >= 0 && (left[place] ?? 0) < (right[place] ?? 0);
};

const typesOf = ({ type }: Node): readonly string[] => (type === undefined ? [] : [type].flat());
const show = (value: unknown): string => (value === undefined ? "nothing" : JSON.stringify(value));

/** One comparison: the two documents and the problems found. */
class Comparison {
  readonly problems: string[] = [];
  readonly #released: Document;
  readonly #current: Document;
  readonly #releases: readonly string[];

  constructor(released: Document, current: Document, releases: readonly string[]) {
    this.#released = released;
    this.#current = current;
    this.#releases = releases;
  }

  documents(): void {
    for (const [path, operations] of Object.entries(this.#released.paths)) {
      for (const [method, before] of Object.entries(operations)) {
        const after = this.#current.paths[path]?.[method];
        const name = `${method.toUpperCase()} ${path}`;
        if (after) this.#operation(before, after);
        else this.problems.push(`${name} is gone`);
      }
    }
  }

  #operation(before: Operation, after: Operation): void {
    const name = before.operationId;
    if (after.operationId !== name) this.problems.push(`${name} is now named ${after.operationId}`);
    for (const place of ["path", "query"])
      this.#schema(parametersOf(before, place), parametersOf(after, place), `${name} ${place}`, "request");
    if (before.requestBody)
      this.#content(before.requestBody.content, after.requestBody?.content, `${name} body`, "request");
    else if (after.requestBody) this.problems.push(`${name} body is now required`);
    for (const [status, { content }] of Object.entries(before.responses))
      this.#content(
        content,
        after.responses[status]?.content,
        `${name} ${status === "200" ? "answer" : status}`,
        "answer",
      );
  }

  #content(before: Content, after: Content | undefined, at: string, side: Side): void {
    for (const [type, { schema }] of Object.entries(before)) {
      const now = after?.[type];
      if (!now) this.problems.push(`${at} is no longer ${type}`);
      else if (schema && now.schema) this.#schema(schema, now.schema, at, side);
      else if (schema ?? now.schema) this.problems.push(`${at} has another schema`);
    }
  }

  #schema(a: Node, b: Node, at: string, side: Side): void {
    const [before, after] = [resolve(this.#released, a), resolve(this.#current, b)];
    // What clients write must fit what the supervisor reads, and the other way about.
    const [writer, reader] = side === "request" ? [before, after] : [after, before];
    const unread = typesOf(writer).filter((type) => !typesOf(reader).includes(type));
    const others = typesOf(before).filter((type) => type !== "null");
    const lost = others.filter((type) => !typesOf(after).includes(type));
    if (unread.length + lost.length > 0)
      this.problems.push(`${at} was ${show(before.type)} and is ${show(after.type)}`);
    this.#values(before, after, at, side);
    for (const [bound, isUpper] of Object.entries(BOUNDS)) {
      const none = isUpper ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
      const [wrote, reads] = [Number(writer[bound] ?? none), Number(reader[bound] ?? none)];
      if (isUpper ? wrote > reads : wrote < reads)
        this.problems.push(`${at}: ${bound} was ${show(before[bound])} and is ${show(after[bound])}`);
    }
    if (side === "request" && after.additionalProperties === false && before.additionalProperties !== false)
      this.problems.push(`${at} no longer takes other fields`);
    for (const keyword of new Set([...Object.keys(before), ...Object.keys(after)]))
      if (!KNOWN.has(keyword) && show(before[keyword]) !== show(after[keyword]))
        this.problems.push(`${at}: ${keyword} was ${show(before[keyword])} and is ${show(after[keyword])}`);
    if (before.items && after.items) this.#schema(before.items, after.items, `${at}[]`, side);
    else if (before.items ?? after.items) this.problems.push(`${at} has other items`);
    this.#fields(before, after, at, side);
  }

  /** A set of values may grow: clients ignore values that they do not know. It may not shrink, start in a request or end in an answer. */
  #values(before: Node, after: Node, at: string, side: Side): void {
    if (!before.enum && !after.enum) return;
    if (!before.enum || !after.enum) {
      const [what, broken] = before.enum ? ["any value", "answer"] : ["only some values", "request"];
      if (side === broken) this.problems.push(`${at} has ${what} now`);
      return;
    }
    const kept = new Set(after.enum);
    const lost = before.enum.filter((value) => value !== null && !kept.has(value));
    if (lost.length > 0) this.problems.push(`${at} lost ${lost.map(show).join(", ")}`);
  }

  #fields(before: Node, after: Node, at: string, side: Side): void {
    for (const [name, field] of Object.entries(before.properties ?? {})) {
      const now = after.properties?.[name];
      if (now) this.#schema(field, now, `${at}.${name}`, side);
      else this.#gone(field, `${at}.${name}`);
    }
    for (const [name, field] of Object.entries(after.properties ?? {}))
      this.#mark(before.properties?.[name] ?? {}, field, `${at}.${name}`);
    const [weaker, stronger] = side === "request" ? [before, after] : [after, before];
    for (const name of stronger.required ?? []) {
      const isThere = after.properties?.[name] !== undefined;
      if (isThere && !weaker.required?.includes(name))
        this.problems.push(`${at}.${name} is now ${side === "request" ? "required" : "optional"}`);
    }
  }

  /** A mark names a release after the one in which the field had no mark yet, and is not moved back. */
  #mark(before: Node, after: Node, at: string): void {
    const since = after["x-deprecated-since"];
    if (since === undefined) return;
    const earlier = before["x-deprecated-since"];
    const { version } = this.#released.info;
    const isBackdated = earlier === undefined ? !isBefore(version, since) : isBefore(since, earlier);
    if (isBackdated) this.problems.push(`${at} was not deprecated in ${since} yet`);
  }

  #gone(field: Node, at: string): void {
    const since = field["x-deprecated-since"];
    const announced = since === undefined ? [] : this.#releases.filter((release) => !isBefore(release, since));
    if (announced.length >= ANNOUNCED) return;
    const times =
      since === undefined ? "was not deprecated" : `was deprecated in ${announced.length} of ${ANNOUNCED} releases`;
    this.problems.push(`${at} is gone and ${times}`);
  }
}

/** Clients write requests and read answers. */
type Side = "request" | "answer";

const resolve = (document: Document, schema: Node): Node => {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : (document.components.schemas[name] ?? {});
};

/** The parameters in the path or the query as one object; an operation without any takes no field. */
const parametersOf = ({ parameters = [] }: Operation, place: string): Node => {
  const here = parameters.filter((parameter) => parameter.in === place);
  return {
    type: "object",
    properties: Object.fromEntries(here.map(({ name, schema }) => [name, schema as Node])),
    required: here.filter(({ required }) => required).map(({ name }) => name),
    additionalProperties: false,
  };
};

/**
 * How a document breaks the promise of a released one, each `getDaemon answer.pid was "integer" and is ["integer","null"]`.
 * @param releases versions released so far, e.g. `0.2.0`; they decide whether a deprecated field may go
 */
export const incompatibilities = (released: Document, current: Document, releases: readonly string[]): string[] => {
  const comparison = new Comparison(released, current, releases);
  comparison.documents();
  return comparison.problems;
};
