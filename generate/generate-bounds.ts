/** docs/reference/bounds.md: what a tenant or a client may have at most, out of the constants that the code obeys. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { REQUEST_TIMEOUT } from "../apps/supervisor/src/api/connection.ts";
import { LONGEST_BODY } from "../apps/supervisor/src/api/server.ts";
import { MOST_DAEMONS } from "../apps/supervisor/src/app/machine.ts";
import { MOST_HOSTS as MOST_HOSTS_OF_A_DAEMON, MOST_INDEXES } from "../apps/supervisor/src/conf/daemon-keys.ts";
import { MAX_PROBLEMS } from "../apps/supervisor/src/conf/file-problems.ts";
import { MAX_POLICY_FILE } from "../apps/supervisor/src/conf/policy-file.ts";
import { LONGEST_DELAY } from "../apps/supervisor/src/core/backoff.ts";
import { LONGEST_HOSTNAME } from "../apps/supervisor/src/core/hostname.ts";
import { LONGEST_PATTERN, MOST_PATTERNS } from "../apps/supervisor/src/core/log-selection.ts";
import { LOG_RUN_PROCESSES } from "../apps/supervisor/src/core/resource-limits.ts";
import { LONGEST_PATH } from "../apps/supervisor/src/core/site.ts";
import { writeDuration, writeSize } from "../apps/supervisor/src/core/units.ts";
import { MOST_INSTANCES as MOST_INSTANCES_OF_AN_OWNER } from "../apps/supervisor/src/engine/admission.ts";
import {
  LARGEST as LARGEST_VARIABLE,
  LONGEST as LONGEST_READING_OF_VARIABLES,
  MOST as MOST_VARIABLES,
} from "../apps/supervisor/src/launch/env-reader.ts";
import { MOST_LISTED } from "../apps/supervisor/src/os/files/conf-dir.ts";
import {
  MOST_BYTES as MOST_BYTES_BOUND,
  MOST_FILES as MOST_FILES_BOUND,
} from "../apps/supervisor/src/os/files/directory-size.ts";
import { LONGEST as LONGEST_LISTING } from "../apps/supervisor/src/os/files/entries.ts";
import { MOST_ENTRIES } from "../apps/supervisor/src/os/files/service-dir.ts";
import { SHARE } from "../apps/supervisor/src/os/kernel/owner-budgets.ts";
import { SOCKET_PATH_LIMIT } from "../apps/supervisor/src/os/kernel/unix-socket.ts";
import { CAPACITY, LONG_PATIENCE, PATIENCE } from "../apps/supervisor/src/os/logs/overflow.ts";
import { LONGEST as LONGEST_FINISH } from "../apps/supervisor/src/os/processes/finish.ts";
import { LONGEST_LAUNCH } from "../apps/supervisor/src/os/processes/run-report.ts";
import { MOST_CONNECTIONS } from "../apps/supervisor/src/os/sockets/control-socket.ts";
import { BACKLOG } from "../apps/supervisor/src/os/sockets/held-socket.ts";
import { BURST as MOST_RELOADS } from "../apps/supervisor/src/web/reload-pace.ts";
import { MOST_FOUND } from "../apps/supervisor/src/web/selection.ts";
import { MOST_HOSTS as MOST_HOSTS_OF_AN_OWNER } from "../apps/supervisor/src/web/site-requests.ts";
import {
  LONGEST_ADDRESS,
  LONGEST_CONF_FILE,
  MOST_INSTANCES as MOST_INSTANCES_OF_A_DAEMON,
  MOST_LOG_LINES,
} from "../packages/contract/src/index.ts";
import { ENDPOINTS } from "../packages/contract/src/schemas.ts";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

/** One bound: what is bounded, the most of it, and what happens beyond. */
type Bound = readonly [what: string, most: string, beyond: string];

/** `65,536`. */
const grouped = (count: number): string => count.toLocaleString("en-US");

/** The group of `pattern` in a file of the repository. Throws where it is not there once. */
const valueIn = (path: string, pattern: RegExp): string => {
  const found = [...readFileSync(resolve(import.meta.dirname, "..", path), "utf8").matchAll(pattern)];
  const value = found[0]?.[1];
  if (value === undefined || found.length > 1) throw new Error(`${path}: expected ${pattern} once`);
  return value;
};

/** The last argument of a directive of nginx/nginx.conf. */
const nginx = (directive: string): string => valueIn("nginx/nginx.conf", new RegExp(`^ *${directive} (\\w+);$`, "gm"));

const siteLog = (): number => Number(valueIn("nginx/site-logs", /DMHOST_SITE_LOG_SIZE:-(\d+)/g)) * 1024;

const FILES: readonly Bound[] = [
  ["conf file", writeSize(LONGEST_CONF_FILE), "The daemon is `invalid`."],
  [
    "policy file",
    writeSize(MAX_POLICY_FILE),
    "The supervisor does not start; a reload keeps the policy in force and reports the error.",
  ],
  [
    "daemons of an owner, conf files and service directories together",
    grouped(MOST_DAEMONS),
    "Those known already are kept, then the first ones by name; `dmctl rescan` names the rest. `daemons` of [limits](policy-keys.md) can lower it.",
  ],
  [
    "entries of a directory of conf files or service directories",
    grouped(MOST_LISTED),
    "No new daemon is found in it; those known already continue. `dmctl rescan` reports it.",
  ],
  [
    "entries that are examined for service directories",
    grouped(MOST_ENTRIES),
    "The rest are not read; `dmctl rescan` reports it.",
  ],
  ["time to list such a directory", writeDuration(LONGEST_LISTING), "As with too many entries."],
  ["errors, and warnings, that are shown of one file", grouped(MAX_PROBLEMS), "The rest are counted."],
  [
    "`env-file`; a file, and a value, of `env-dir`",
    writeSize(LARGEST_VARIABLE),
    "The launch fails and names the file.",
  ],
  ["files of `env-dir`; variables of both", grouped(MOST_VARIABLES), "The launch fails."],
  ["time to read them", writeDuration(LONGEST_READING_OF_VARIABLES), "The launch fails."],
  ["path of a socket", writeSize(SOCKET_PATH_LIMIT), "The start fails and names the path."],
];

const RUNS: readonly Bound[] = [
  ["instances of a daemon", grouped(MOST_INSTANCES_OF_A_DAEMON), "The file is `invalid`; `dmctl scale` is refused."],
  [
    "instances of an owner's daemons together; one instance of each daemon is always allowed",
    grouped(MOST_INSTANCES_OF_AN_OWNER),
    "The daemon is `forbidden`; `dmctl scale` is refused.",
  ],
  ["launch, until the daemon's own program executes", writeDuration(LONGEST_LAUNCH), "The daemon counts as launched."],
  ["`finish` of a service directory", writeDuration(LONGEST_FINISH), "It is killed with all its processes."],
  [
    "processes of a `log/run`, where the daemon has a limit of processes",
    grouped(LOG_RUN_PROCESSES),
    "The kernel creates no more.",
  ],
  [
    "delay between failed runs",
    writeDuration(LONGEST_DELAY),
    "It grows no further. `restarts` of [limits](policy-keys.md) bounds all restarts of an owner.",
  ],
  [
    "connections that wait at a held socket",
    grouped(BACKLOG),
    "connect(2) fails with EAGAIN; a visitor gets 503 with Retry-After. The kernel's net.core.somaxconn can lower it.",
  ],
  [
    "files beside the socket of `listen=path`",
    grouped(MOST_FILES_BOUND),
    "The run is killed and started again; `dmctl status` says why.",
  ],
  ["their size", writeSize(MOST_BYTES_BOUND), "As with too many files."],
  [
    "processor time to look for clients of an owner's daemons",
    `${SHARE * 100} % of one processor`,
    "The supervisor looks less often: a daemon drains, and goes to sleep, later.",
  ],
];

const LOGS: readonly Bound[] = [
  [
    "output that waits for the logger",
    writeSize(CAPACITY),
    `The daemon's write waits. When nobody has read for ${writeDuration(PATIENCE)} on a full disk, or for ${writeDuration(LONG_PATIENCE)} for another reason, the waiting lines are dropped and counted.`,
  ],
  ["patterns of `log-select`", grouped(MOST_PATTERNS), "The file is `invalid`."],
  ["characters of a pattern", grouped(LONGEST_PATTERN), "The file is `invalid`."],
  ["log of a site before it is rotated", writeSize(siteLog()), "Four older ones are kept."],
];

const SITES: readonly Bound[] = [
  ["hosts of a daemon", grouped(MOST_HOSTS_OF_A_DAEMON), "The file is `invalid`."],
  ["hosts of an owner", grouped(MOST_HOSTS_OF_AN_OWNER), "The host is refused; `dmctl explain` says why."],
  ["characters of a host name", grouped(LONGEST_HOSTNAME), "The file is `invalid`."],
  ["characters of the path of `docroot`", grouped(LONGEST_PATH), "The file is `invalid`."],
  ["names of `index`", grouped(MOST_INDEXES), "The file is `invalid`."],
  [
    "sites of an owner that Nginx refuses and that are found one by one",
    grouped(MOST_FOUND),
    "The owner's other new sites are not tried until these are corrected.",
  ],
  [
    "reloads of Nginx without a pause",
    grouped(MOST_RELOADS),
    "Changes wait for the next reload: one every 15s (`--reload-interval`), with all changes since.",
  ],
  ["requests in progress of a site", grouped(Number(nginx("limit_conn sites"))), "503 with Retry-After."],
  [
    "requests in progress of an owner's sites",
    grouped(Number(nginx("limit_conn site_owners"))),
    "503 with Retry-After.",
  ],
  ["time to send the header of a request", nginx("client_header_timeout"), "The connection is closed."],
  ["pause in a request's body", nginx("client_body_timeout"), "The connection is closed."],
  [
    "time until an application sends something",
    nginx("fastcgi_read_timeout"),
    "503 with Retry-After, or the answer ends there.",
  ],
];

const API: readonly Bound[] = [
  [
    "connections of one uid",
    grouped(MOST_CONNECTIONS),
    `${MOST_CONNECTIONS} more are answered 429 and closed after a second; the rest are closed at once.`,
  ],
  [
    "time until a request is complete, from the connection or the previous answer",
    writeDuration(REQUEST_TIMEOUT),
    "The connection is closed.",
  ],
  ["body of a request", writeSize(LONGEST_BODY), "413."],
  ["the same with a conf file's text, as JSON", writeSize(ENDPOINTS.writeFile.longestBody), "413."],
  ["characters of a daemon's address in a path, as encoded", grouped(LONGEST_ADDRESS), "400."],
  ["lines of a log that a request may start with", grouped(MOST_LOG_LINES), "400; `dmctl` exits with 2."],
];

const section = (bounds: readonly Bound[]): string => table(["what", "at most", "beyond it"], bounds);

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] =>
  Object.entries({ files: FILES, runs: RUNS, logs: LOGS, sites: SITES, api: API }).map(([name, bounds]) =>
    region("docs/reference/bounds.md", name, section(bounds)),
  );
