/**
 * Requests lost behind Nginx when processes die, and requests per second: dmhost beside its peers. All use the appliance's Nginx
 * configuration, which names the socket twice (fastcgi_next_upstream error invalid_header).
 */
import { appendFileSync, chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Nginx, vhostText } from "../system/nginx.ts";
import { Stage } from "../system/stage.ts";
import { type Options, SLICE } from "./command-line.ts";
import { HELLO, type Loss, lose, PAGE, TROUBLES, type Trouble } from "./loss.ts";
import { median } from "./median.ts";
import {
  dmhost,
  endSetup,
  type Place,
  patientMultiwatch,
  type Running,
  SETUPS,
  type Setup,
  startSetup,
} from "./php-setups.ts";
import { compareSlices, meanOf, startsFor } from "./ratio.ts";
import { runAlternately, runWrk } from "./wrk.ts";

/** Calls `work` with a function that makes places, all for the same tenant and the same Nginx worker account. */
const onPlaces = async (work: (place: (environment?: Record<string, string>) => Place) => Promise<void>) => {
  const stage = await Stage.make();
  try {
    await stage.group("web");
    const worker = await stage.account("nginx", "web");
    const tenant = await stage.account("bench");
    tenant.write("www/page.php", PAGE);
    tenant.write("www/hello.php", HELLO);
    for (const passage of [tenant.home, join(tenant.home, "www")]) chmodSync(passage, 0o711);
    let number = 0;
    await work((environment = {}) => {
      number += 1;
      const directory = join(stage.directory, String(number));
      mkdirSync(directory, { mode: 0o755 });
      return { stage, directory, tenant, worker, group: "web", environment };
    });
  } finally {
    await stage.remove();
  }
};

const chosenSetups = (parts: readonly string[]): readonly Setup[] =>
  SETUPS.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
const chosenTroubles = (names: readonly string[]): readonly Trouble[] =>
  TROUBLES.filter(({ name }) => names.length === 0 || names.includes(name));

const describe = ({ post }: Trouble, { sent, lost, kills, unexplained, twice, times }: Loss): string => {
  const posts = post ? `; ${twice} executed twice, ${unexplained} lost without a kill, ${kills} kills` : "";
  const took = times ? `; 99 % within ${times.p99.toFixed(0)} ms, longest ${times.longest.toFixed(0)} ms` : "";
  return `${lost} of ${sent}${posts}${took}`;
};

/** Variables of a php-cgi that never exits by itself. */
const STAYING = { PHP_FCGI_MAX_REQUESTS: "0" };

/** Failures of a run that are shown. */
const SHOWN = 1;

const titleOf = ({ name, processes }: Setup): string => `${name} (${processes})`;

/** Prints the requests lost, for each trouble and each setup. */
export const measureLoss = ({ seconds, setups, troubles, record }: Options): Promise<void> =>
  onPlaces(async (place) => {
    for (const trouble of chosenTroubles(troubles)) {
      console.log(
        `lost: ${trouble.name}, ${seconds} s${trouble.full ? ", wrk -c16" : ", 500 a second, no keep-alive"}`,
      );
      for (const setup of chosenSetups(setups)) {
        const loss = await lose(setup, trouble, place(trouble.full ? {} : STAYING), seconds).catch(
          (error: Error) => error,
        );
        const said =
          loss === undefined ? "-" : loss instanceof Error ? `cannot: ${loss.message}` : describe(trouble, loss);
        console.log(`  ${titleOf(setup).padEnd(60)} ${said}`);
        if (loss === undefined || loss instanceof Error) continue;
        for (const failure of loss.failures.slice(0, SHOWN)) console.log(`    ${JSON.stringify(failure)}`);
        if (record === undefined) continue;
        const about = { setup: titleOf(setup), trouble: trouble.name };
        for (const failure of loss.failures) appendFileSync(record, `${JSON.stringify({ ...about, ...failure })}\n`);
      }
    }
  });

/** Requests after which php-cgi exits, the same in words, and the length of a slice in ms. */
const LIMITS = [
  [STAYING.PHP_FCGI_MAX_REQUESTS, "never exits", SLICE.never],
  ["500", "exits after 500 requests", SLICE.exits],
] as const;

/** Runs two setups behind one Nginx for `seconds`. */
const race = async (
  setups: readonly [Setup, Setup],
  place: () => Place,
  seconds: number,
  length: number,
): Promise<{ ratios: number[]; rates: number[] }> => {
  const entries: { host: string; place: Place; running: Running }[] = [];
  let web: Nginx | undefined;
  try {
    for (const [index, setup] of setups.entries()) {
      const where = place();
      entries.push({ host: `site${index}`, place: where, running: await startSetup(setup, where) });
    }
    const [first] = entries;
    if (!first) return { ratios: [], rates: [] };
    const docroot = join(first.place.tenant.home, "www");
    const vhosts = entries.map(({ host, running }) => [
      host,
      vhostText({ name: host, host, socket: running.socket, app: "php", docroot }),
    ]);
    web = await Nginx.start(join(first.place.directory, "nginx"), first.place.worker.name, Object.fromEntries(vhosts));
    for (const { host } of entries) await runWrk(web.port, host, "/hello.php", 1);
    return compareSlices(await runAlternately(web.port, ["site0", "site1"], "/hello.php", seconds, length), length);
  } finally {
    await web?.end();
    for (const { running, place: where } of entries) await endSetup(running, where);
  }
};

/** Prints requests per second through Nginx, compared with spawn-fcgi and multiwatch. */
export const measureThroughput = ({ seconds }: Options): Promise<void> =>
  onPlaces(async (place) => {
    for (const processes of [1, 2]) {
      for (const [limit, words, length] of LIMITS) {
        const what = `${processes} php-cgi, which ${words}`;
        console.log(`requests a second, wrk -c16, ${what}: ${seconds} s, ${length} ms each in turn`);
        const ratios: number[] = [];
        const rates: number[] = [];
        const environment = { PHP_FCGI_MAX_REQUESTS: limit };
        const starts = startsFor(seconds, length);
        // The memory layout of a process and the order of starts change its speed more than the difference to be measured: both
        // start several times, each of them first in half of the starts.
        for (let start = 0; start < starts.count; start += 1) {
          const isFirst = start % 2 === 0;
          const [ours, theirs] = [dmhost(processes), patientMultiwatch(processes)];
          const found = await race(
            isFirst ? [ours, theirs] : [theirs, ours],
            () => place(environment),
            starts.seconds,
            length,
          );
          const { mean } = meanOf(found.ratios);
          ratios.push(isFirst ? mean : 1 / mean);
          if (isFirst) rates.push(...found.rates);
        }
        const { mean, error = 0, median: middle } = meanOf(ratios);
        console.log(`  dmhost ${median(rates).toFixed(0)}, compared with ${patientMultiwatch(processes).name}`);
        console.log(
          `  ratio ${mean.toFixed(3)}, standard error ${error.toFixed(3)}, median ${middle.toFixed(3)} of ${starts.count} starts\n`,
        );
      }
    }
  });
