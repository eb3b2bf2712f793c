/** Requests lost while processes are killed, restarted, or exit: the same troubles for every setup. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Nginx, vhostText } from "../system/nginx.ts";
import { kill } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { type Arrival, arrive } from "./arrivals.ts";
import { answering, endSetup, type Place, type Setup, startSetup } from "./php-setups.ts";
import { runWrk } from "./wrk.ts";

/** Page that takes at least 0.2 ms, so that some kills hit a request; a POST appends its id to a file. */
export const PAGE = `<?php
usleep(200);
if (isset($_POST['id'])) { fwrite(fopen('posts', 'a'), $_POST['id'] . "\\n"); }
echo 'served by ', getmypid(), "\\n";
`;
/** Page that takes almost no time. */
export const HELLO = "<?php echo 'hello';\n";

const PER_SECOND = 500;

/** Disturbance during the requests: kills and restarts, each with its interval in ms. */
export interface Trouble {
  readonly name: string;
  readonly killEvery?: number;
  readonly restartEvery?: number;
  /** Requests are POSTs. */
  readonly post?: boolean;
  /** No disturbance: closed-loop requests, and php-cgi exits after 500 of them. */
  readonly full?: boolean;
}

export const TROUBLES: readonly Trouble[] = [
  { name: "kill 1s", killEvery: 1000 },
  { name: "kill 3s", killEvery: 3000 },
  { name: "kill 0.2s", killEvery: 200 },
  { name: "kill 1s restart 5s", killEvery: 1000, restartEvery: 5000 },
  { name: "exits", full: true },
  { name: "POST kill 1s", killEvery: 1000, post: true },
];

/** Results of the requests. */
export interface Loss {
  readonly sent: number;
  /** Requests without a 200. */
  readonly lost: number;
  readonly kills: number;
  /** Lost requests during which no process was killed. */
  readonly unexplained: number;
  /** POSTs that were executed more than once. */
  readonly twice: number;
  /** 99th percentile and maximum of the response times, in ms; undefined with wrk. */
  readonly times: { readonly p99: number; readonly longest: number } | undefined;
  readonly failures: readonly Arrival[];
}

const timesOf = (arrivals: readonly Arrival[]): { p99: number; longest: number } => {
  const times = arrivals.map(({ sentAt, answeredAt }) => answeredAt - sentAt).sort((a, b) => a - b);
  return { p99: times[Math.floor(times.length * 0.99)] ?? 0, longest: times.at(-1) ?? 0 };
};

/** Tolerance in ms for a kill before a lost request was sent: the time of a kill is read after it. */
const SLACK = 5;

const make = async (place: Place, socket: string): Promise<Nginx> => {
  const docroot = join(place.tenant.home, "www");
  const site = vhostText({ name: "site", host: "site", socket, app: "php", docroot });
  return Nginx.start(join(place.directory, "nginx"), place.worker.name, { site });
};

/** Kills one of the processes that answer, round robin. */
const killOne = (place: Place, turn: number): void => {
  const pids = answering(place);
  const pid = pids[turn % Math.max(1, pids.length)];
  if (pid !== undefined) kill(pid);
};

/** Runs the setup under requests for `seconds`; returns undefined if the setup does not support the trouble. */
export const lose = async (
  setup: Setup,
  trouble: Trouble,
  place: Place,
  seconds: number,
): Promise<Loss | undefined> => {
  const posts = join(place.tenant.home, "www/posts");
  rmSync(posts, { force: true });
  const running = await startSetup(setup, place);
  let web: Nginx | undefined;
  const timers: NodeJS.Timeout[] = [];
  try {
    if (trouble.restartEvery !== undefined && running.restart === undefined) return undefined;
    web = await make(place, running.socket);
    const { port } = web;
    await until(
      "a page",
      async () => (await fetch(`http://127.0.0.1:${port}/page.php`).catch(() => undefined))?.status === 200,
    );
    if (trouble.full) {
      const { answers, failed } = await runWrk(port, "site", "/hello.php", seconds);
      return { sent: answers, lost: failed, kills: 0, unexplained: failed, twice: 0, times: undefined, failures: [] };
    }
    const origin = performance.now();
    const kills: number[] = [];
    if (trouble.killEvery !== undefined) {
      const strike = (): void => {
        killOne(place, kills.length);
        kills.push(performance.now() - origin);
      };
      timers.push(setInterval(strike, trouble.killEvery));
    }
    if (trouble.restartEvery !== undefined) {
      timers.push(setInterval(() => void running.restart?.().catch(() => undefined), trouble.restartEvery));
    }
    const load = { port, path: "/page.php", perSecond: PER_SECOND, seconds };
    const arrivals = await arrive(trouble.post ? { ...load, form: (number) => `id=${number}` } : load, origin);
    const failures = arrivals.filter(({ status }) => status !== 200);
    const written = trouble.post ? readFileSync(posts, "utf8").trimEnd().split("\n") : [];
    const explained = ({ sentAt, answeredAt }: Arrival): boolean =>
      kills.some((at) => at >= sentAt - SLACK && at <= answeredAt);
    return {
      sent: arrivals.length,
      lost: failures.length,
      kills: kills.length,
      unexplained: failures.filter((failure) => !explained(failure)).length,
      twice: written.length - new Set(written).size,
      times: timesOf(arrivals),
      failures,
    };
  } finally {
    for (const timer of timers) clearInterval(timer);
    await web?.end();
    await endSetup(running, place);
  }
};
