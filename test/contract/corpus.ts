/** What is recorded of the control API in v1/: answers, one file per endpoint, and the released document. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EndpointName } from "@dmhost/contract/schemas";
import type { Document } from "./compatibility.ts";

const DIRECTORY = join(import.meta.dirname, "v1");
const RELEASED = "openapi.json";
const CHANGELOG = join(import.meta.dirname, "../../CHANGELOG.md");

/** An answer, and the request that it was recorded for. */
export interface Recorded {
  /** `GET /v1/health`. */
  readonly request: string;
  /** Body of the request. */
  readonly sent?: unknown;
  readonly status: number;
  readonly body: unknown;
}

/** Every recorded answer, by endpoint. */
export const readCorpus = (): ReadonlyMap<EndpointName, readonly Recorded[]> =>
  new Map(
    readdirSync(DIRECTORY)
      .filter((file) => file !== RELEASED)
      .map((file) => [
        file.replace(/\.json$/, "") as EndpointName,
        JSON.parse(readFileSync(join(DIRECTORY, file), "utf8")) as Recorded[],
      ]),
  );

/** The OpenAPI document that clients rely on: that of the last record. */
export const readReleased = (): Document => JSON.parse(readFileSync(join(DIRECTORY, RELEASED), "utf8")) as Document;

/** Makes a document the released one. */
export const writeReleased = (document: unknown): void =>
  writeFileSync(join(DIRECTORY, RELEASED), `${JSON.stringify(document, undefined, 1)}\n`);

/** Versions that the changelog has as released, e.g. `0.1.0`. */
export const readReleases = (): string[] =>
  [...readFileSync(CHANGELOG, "utf8").matchAll(/^## \[(\d+\.\d+\.\d+)\]/gm)].map(([, version = ""]) => version);

/** Writes the answers of one endpoint; `scrub` takes out what differs from machine to machine. */
export const writeRecorded = (
  endpoint: EndpointName,
  recorded: readonly Recorded[],
  scrub: (text: string) => string,
): void => writeFileSync(join(DIRECTORY, `${endpoint}.json`), `${scrub(JSON.stringify(recorded, undefined, 1))}\n`);
