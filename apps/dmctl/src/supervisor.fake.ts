/** A fake of the supervisor: speaks the contract over a UNIX socket and records the requests. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ApiError, type DaemonStatus, ERROR_STATUS, type ErrorCode } from "@dmhost/contract";

/** One request: `GET /v1/daemons`, with the body's text. */
export interface Received {
  readonly line: string;
  readonly body: string;
}

/** Answers one request. An answer that is not JSON uses `respond`. */
export type FakeAnswer = (request: Received, respond: ServerResponse) => unknown;

/** A status with every field, changed by `fields`. */
export const daemon = (id: string, fields: Partial<DaemonStatus> = {}): DaemonStatus => {
  const [owner = "", name = ""] = id.split("/");
  return {
    id,
    owner,
    name,
    state: "running",
    desiredState: "up",
    pid: 4711,
    respawns: 0,
    cooldown: 0,
    uptime: 60,
    downtime: 0,
    autostart: true,
    total: 60,
    reason: "",
    user: owner,
    configFile: `/home/${owner}/.daemon-manager/daemons/${name}.conf`,
    logFile: `/home/${owner}/.daemon-manager/logs/${name}/current`,
    logDropped: 0,
    logProblem: "",
    socket: "",
    configChanged: false,
    warnings: [],
    hosts: [],
    instances: [],
    limits: { enforcedBy: "", keys: [] },
    usage: null,
    ...fields,
  };
};

/** An error answer of the API. */
export const apiError = (code: ErrorCode, message: string, details?: string[]): ApiError => ({
  code,
  message,
  ...(details === undefined ? {} : { details }),
});

const isApiError = (value: unknown): value is ApiError =>
  typeof value === "object" && value !== null && "code" in value && "message" in value;

/**
 * Listens at `socket` until `close`. `answers` has one entry a request line; what it returns is sent as JSON, an
 * ApiError with its HTTP status; `undefined` means that it has used `respond`.
 */
export const fakeSupervisor = async (answers: Record<string, FakeAnswer>) => {
  const dir = mkdtempSync(join(tmpdir(), "dmctl-test-"));
  const socket = join(dir, "command.sock");
  const requests: Received[] = [];
  const server = createServer(async (request, respond) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const line = `${request.method} ${request.url}`;
    const one = { line, body: Buffer.concat(chunks).toString() };
    requests.push(one);
    const answerer = answers[line] ?? (() => apiError("not-found", `no ${line}`));
    const answer = await answerer(one, respond);
    if (answer === undefined) return;
    respond.writeHead(isApiError(answer) ? ERROR_STATUS[answer.code] : 200, { "content-type": "application/json" });
    respond.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  };
  return { socket, dir, requests, close };
};
