/** Methods and paths of the endpoints, without schemas, for clients. */

export interface Route {
  readonly method: "GET" | "POST" | "PUT";
  /** Below `/v1`; `:address` is `<owner>/<name>` or `<name>` as one segment. */
  readonly path: string;
  /** The answer waits until daemons have settled, however long that takes. */
  readonly settles?: true;
  /** Sent again when its answer was lost, it has no further effect. So has every GET. */
  readonly idempotent?: true;
}

const ONE = "/daemons/:address";
/** Whether a path has the address of a daemon. */
export const hasAddress = (path: string): boolean => path.startsWith(ONE);

// biome-ignore format: one line per endpoint
export const ROUTES = {
  getHealth:   { method: "GET",  path: "/health" },
  listDaemons: { method: "GET",  path: "/daemons" },
  rescan:      { method: "POST", path: "/rescan", settles: true, idempotent: true },
  askPolicy:   { method: "GET",  path: "/policy" },
  exportState: { method: "GET",  path: "/export" },
  listImages:  { method: "GET",  path: "/images" },
  acceptImage: { method: "POST", path: "/images/accept", idempotent: true },
  getDaemon:   { method: "GET",  path: ONE },
  start:       { method: "POST", path: `${ONE}/start`, settles: true, idempotent: true },
  stop:        { method: "POST", path: `${ONE}/stop`, settles: true, idempotent: true },
  restart:     { method: "POST", path: `${ONE}/restart`, settles: true },
  once:        { method: "POST", path: `${ONE}/once`, settles: true },
  pause:       { method: "POST", path: `${ONE}/pause`, settles: true, idempotent: true },
  continue:    { method: "POST", path: `${ONE}/continue`, settles: true, idempotent: true },
  exit:        { method: "POST", path: `${ONE}/exit`, settles: true },
  scale:       { method: "POST", path: `${ONE}/scale`, settles: true, idempotent: true },
  kill:        { method: "POST", path: `${ONE}/kill` },
  explain:     { method: "GET",  path: `${ONE}/explanation` },
  readLog:     { method: "GET",  path: `${ONE}/log` },
  readFile:    { method: "GET",  path: `${ONE}/file` },
  writeFile:   { method: "PUT",  path: `${ONE}/file`, settles: true },
} as const satisfies Record<string, Route>;

/** Whether a request can be sent again when its answer was lost. */
export const isIdempotent = (name: EndpointName): boolean => {
  const { method, idempotent }: Route = ROUTES[name];
  return method === "GET" || idempotent === true;
};

/** Name of an endpoint; `operationId` in openapi.json. */
export type EndpointName = keyof typeof ROUTES;
