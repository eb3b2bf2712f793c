/** openapi.json and the schemas that it is made of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ENDPOINTS } from "./endpoints.ts";
import { ERROR_STATUS } from "./error-codes.ts";
import { openapi } from "./openapi.ts";
import { deprecated, optional, record, request, text } from "./schema/shapes.ts";

test("openapi.json has every endpoint once, by its name", () => {
  const { paths } = openapi() as { paths: Record<string, Record<string, { operationId: string }>> };
  const names = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  expect(names.sort()).toEqual(Object.keys(ENDPOINTS).sort());
});

test("every reference in openapi.json leads to a schema", () => {
  const document = openapi() as { components: { schemas: Record<string, unknown> } };
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
  expect(references.length).toBeGreaterThan(0);
  expect(references.filter((name) => !Object.hasOwn(document.components.schemas, name ?? ""))).toEqual([]);
});

test("openapi.json shows a deprecated field and the release that announced it", () => {
  const old = deprecated(text("Old."), "0.2.0");
  const made = { ...ENDPOINTS.getHealth, query: request("Q.", { old: optional(old) }), answer: record("A.", { old }) };
  const { paths } = JSON.parse(JSON.stringify(openapi({ getHealth: made })));
  const { parameters, responses } = paths["/v1/health"].get;
  expect(parameters).toEqual([
    {
      name: "old",
      in: "query",
      required: false,
      description: "Old.",
      deprecated: true,
      schema: { type: "string", deprecated: true, "x-deprecated-since": "0.2.0" },
    },
  ]);
  expect(responses["200"].content["application/json"].schema.properties).toEqual({
    old: { type: "string", description: "Old.", deprecated: true, "x-deprecated-since": "0.2.0" },
  });
});

test("a deprecated schema has no keyword that JSON Schema does not know", () => {
  expect(Object.keys(deprecated(text("Old."), "0.2.0"))).toEqual(["type", "description", "deprecated"]);
});

test("docs/reference/api.md has every error code with its status", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/reference/api.md"), "utf8");
  const codes = Object.entries(ERROR_STATUS).map(([code, status]) => `| \`${code}\` | ${status} `);
  expect(codes.filter((row) => !page.includes(row))).toEqual([]);
});
