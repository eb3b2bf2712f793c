/** The tables of endpoints and of access in docs/reference/api.md. */
import { API_VERSION } from "@dmhost/contract";
import * as schemas from "@dmhost/contract/schemas";
import type { TSchema } from "typebox";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

const PAGE = "docs/reference/api.md";

/** Fields of a request, those that may be missing in brackets: `lines`, `[since]`. */
const fields = (request: TSchema | undefined): readonly string[] => {
  const { properties = {}, required = [] } = (request ?? {}) as {
    readonly properties?: Readonly<Record<string, unknown>>;
    readonly required?: readonly string[];
  };
  return Object.keys(properties).map((name) => (required.includes(name) ? `\`${name}\`` : `[\`${name}\`]`));
};

const takes = (place: string, request: TSchema | undefined): readonly string[] =>
  request === undefined ? [] : [`${place}: ${fields(request).join(", ")}`];

/** The name by which openapi.json has a schema. Throws where schemas.ts does not export it. */
const nameOf = (answer: TSchema): string => {
  const name = Object.entries(schemas).find(([, schema]) => schema === answer)?.[0];
  if (name === undefined)
    throw new Error("packages/contract/src/schemas.ts: expected to export each endpoint's answer");
  return `\`${name}\``;
};

const endpoints = Object.values<schemas.Endpoint>(schemas.ENDPOINTS).map(
  ({ method, path, access, query, body, answer, summary }) => [
    `\`${method} /${API_VERSION}${path.replace(":address", "ADDRESS")}\``,
    access,
    [...takes("query", query), ...takes("body", body)].join("; "),
    answer === "bytes" ? "bytes" : nameOf(answer),
    summary,
  ],
);

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => [
  region(PAGE, "endpoints", table(["method and path", "access", "takes", "answers", "purpose"], endpoints)),
  region(PAGE, "access", table(["access", "who"], Object.entries(schemas.ACCESS))),
];
