/** openapi.json and the schemas that it is made of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ENDPOINTS } from "./endpoints.ts";
import { ERROR_STATUS } from "./error-codes.ts";
import { openapi } from "./openapi.ts";

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

test("docs/reference/api.md has every error code with its status", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/reference/api.md"), "utf8");
  const codes = Object.entries(ERROR_STATUS).map(([code, status]) => `| \`${code}\` | ${status} `);
  expect(codes.filter((row) => !page.includes(row))).toEqual([]);
});
