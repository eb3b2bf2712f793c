/** Recorded answers of the control API, one file per endpoint in v1/. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EndpointName } from "@dmhost/contract/schemas";

const DIRECTORY = join(import.meta.dirname, "v1");

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
    readdirSync(DIRECTORY).map((file) => [
      file.replace(/\.json$/, "") as EndpointName,
      JSON.parse(readFileSync(join(DIRECTORY, file), "utf8")) as Recorded[],
    ]),
  );

/** Writes the answers of one endpoint; `scrub` takes out what differs from machine to machine. */
export const writeRecorded = (
  endpoint: EndpointName,
  recorded: readonly Recorded[],
  scrub: (text: string) => string,
): void => writeFileSync(join(DIRECTORY, `${endpoint}.json`), `${scrub(JSON.stringify(recorded, undefined, 1))}\n`);
